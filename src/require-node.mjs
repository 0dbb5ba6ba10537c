// Plain JavaScript on purpose: an older Node, which cannot run the TypeScript, must get through this file to say so.
// Loaded with --import before anything else.

const least = [22, 22];
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < least[0] || (major === least[0] && minor < least[1])) {
  process.stderr.write(
    [
      `ouzel needs Node ${least.join('.')} or newer; this is Node ${process.versions.node} (${process.execPath}).`,
      'In a checkout, `npm ci` brings Node 24 along, and the npm scripts use it:',
      '    npm ci && npm start',
      'If you did that and read this all the same, install scripts were off (--ignore-scripts) and the bundled Node was',
      'not unpacked. Run `npm rebuild node`, or put a newer Node on PATH.',
      '',
    ].join('\n'),
  );
  process.exit(69); // EX_UNAVAILABLE: a program that this one needs is not there.
}
