/** What a run prints: the seed first, each fault when it happens, and the figures at the end. */
import type { Figures, Problems } from './verdict.ts';
import type { Counts } from './world.ts';

/** Details of one kind of problem that are printed. */
const MOST = 10;

export class Report {
  readonly #write: (text: string) => void;
  readonly #startedAt = performance.now();
  readonly #faults = new Map<string, number>();

  constructor(seed: number, write: (text: string) => void) {
    this.#write = write;
    write(`seed ${seed}\n`);
  }

  say(line: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1).padStart(7);
    this.#write(`${seconds} s  ${line}\n`);
  }

  fault(name: string, detail: string, lasts: number): void {
    this.#faults.set(name, (this.#faults.get(name) ?? 0) + 1);
    this.say(`${name} (${detail}), for ${lasts} ms`);
  }

  figures(figures: Figures, counts: Counts, deliveries: number): void {
    const { events, delivered, filtered, deadLettered, effects, duplicates } = figures;
    const letters = Object.values(deadLettered).reduce((sum, count) => sum + count, 0);
    const outcomes = delivered + filtered + letters;
    const list = (counted: Iterable<[string, number]>): string =>
      [...counted].map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
    this.#write(
      [
        '',
        `events            ${events}`,
        `outcomes          ${outcomes}: ${delivered} delivered, ${filtered} filtered, ${letters} dead letters`,
        `dead letters      ${list(Object.entries(deadLettered))}`,
        `effects           ${effects}, of which ${duplicates} came again with the same id`,
        `deliveries        ${deliveries} by the server, of which ${deliveries - outcomes} again`,
        `kills             ${counts.kills} of daemons, ${counts.serverKills} of the server`,
        `points reached    ${list(counts.pointsReached)}`,
        `faults            ${list(this.#faults)}`,
        '',
      ].join('\n'),
    );
  }

  problems({ kinds }: Problems, directory: string): void {
    for (const [kind, details] of kinds) {
      this.#write(`WRONG: ${kind} (${details.length})\n`);
      for (const detail of details.slice(0, MOST)) this.#write(`  ${detail}\n`);
    }
    this.#write(kinds.size === 0 ? 'All that is promised holds.\n' : `Logs: ${directory}\n`);
  }
}
