import { lookup as resolve } from 'node:dns';
import { describe, expect, it } from 'vitest';
import { specialAddress, specialHost } from '../../../src/deliver/http/addresses.ts';
import { lookupPublic } from '../../../src/deliver/http/client.ts';

/** The first and the last address of each special range, and both neighbours outside of it. */
describe('addresses', () => {
  it.each([
    // https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast
    ['0.0.0.0/8', '0.0.0.0', '0.255.255.255', undefined, '1.0.0.0'],
    ['10.0.0.0/8', '10.0.0.0', '10.255.255.255', '9.255.255.255', '11.0.0.0'],
    ['100.64.0.0/10', '100.64.0.0', '100.127.255.255', '100.63.255.255', '100.128.0.0'],
    ['127.0.0.0/8', '127.0.0.0', '127.255.255.255', '126.255.255.255', '128.0.0.0'],
    ['169.254.0.0/16', '169.254.0.0', '169.254.255.255', '169.253.255.255', '169.255.0.0'],
    ['172.16.0.0/12', '172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0'],
    ['192.0.0.0/24', '192.0.0.0', '192.0.0.255', '191.255.255.255', '192.0.1.0'],
    ['192.0.0.0/29', '192.0.0.0', '192.0.0.7', undefined, undefined],
    ['192.0.0.8/32', '192.0.0.8', '192.0.0.8', undefined, undefined],
    ['192.0.0.9/32', '192.0.0.9', '192.0.0.9', undefined, undefined],
    ['192.0.0.10/32', '192.0.0.10', '192.0.0.10', undefined, undefined],
    ['192.0.0.170/31', '192.0.0.170', '192.0.0.171', undefined, undefined],
    ['192.0.2.0/24', '192.0.2.0', '192.0.2.255', '192.0.1.255', '192.0.3.0'],
    ['192.31.196.0/24', '192.31.196.0', '192.31.196.255', '192.31.195.255', '192.31.197.0'],
    ['192.52.193.0/24', '192.52.193.0', '192.52.193.255', '192.52.192.255', '192.52.194.0'],
    ['192.88.99.0/24', '192.88.99.0', '192.88.99.255', '192.88.98.255', '192.88.100.0'],
    ['192.168.0.0/16', '192.168.0.0', '192.168.255.255', '192.167.255.255', '192.169.0.0'],
    ['192.175.48.0/24', '192.175.48.0', '192.175.48.255', '192.175.47.255', '192.175.49.0'],
    ['198.18.0.0/15', '198.18.0.0', '198.19.255.255', '198.17.255.255', '198.20.0.0'],
    ['198.51.100.0/24', '198.51.100.0', '198.51.100.255', '198.51.99.255', '198.51.101.0'],
    ['203.0.113.0/24', '203.0.113.0', '203.0.113.255', '203.0.112.255', '203.0.114.0'],
    ['224.0.0.0/4', '224.0.0.0', '239.255.255.255', '223.255.255.255', undefined],
    ['240.0.0.0/4', '240.0.0.0', '255.255.255.254', undefined, undefined],
    ['255.255.255.255/32', '255.255.255.255', '255.255.255.255', undefined, undefined],
    // https://www.iana.org/assignments/iana-ipv6-special-registry, multicast, and what is deprecated
    ['::/128', '::', '0:0:0:0:0:0:0:0', undefined, undefined],
    ['::1/128', '::1', '0:0:0:0:0:0:0:1', undefined, undefined],
    ['::/96, IPv4-compatible', '::2', '::8.8.8.8', undefined, undefined],
    ['::ffff:0:0/96', '::ffff:0:0', '::ffff:8.8.8.8', undefined, undefined],
    ['64:ff9b::/96', '64:ff9b::', '64:ff9b::8.8.8.8', undefined, undefined],
    ['64:ff9b:1::/48', '64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff', undefined, undefined],
    ['100::/64', '100::', '100::ffff:ffff:ffff:ffff', undefined, undefined],
    ['100:0:0:1::/64', '100:0:0:1::', '100:0:0:1:ffff:ffff:ffff:ffff', undefined, undefined],
    ['2001::/23', '2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', '2000:ffff::1', '2001:200::'],
    ['2001::/32, Teredo', '2001::', '2001:0:ffff::', undefined, undefined],
    ['2001:1::1/128', '2001:1::1', '2001:1::1', undefined, undefined],
    ['2001:1::2/128', '2001:1::2', '2001:1::2', undefined, undefined],
    ['2001:1::3/128', '2001:1::3', '2001:1::3', undefined, undefined],
    ['2001:2::/48', '2001:2::', '2001:2:0:ffff::', undefined, undefined],
    ['2001:3::/32', '2001:3::', '2001:3:ffff::', undefined, undefined],
    ['2001:4:112::/48', '2001:4:112::', '2001:4:112:ffff::', undefined, undefined],
    ['2001:10::/28', '2001:10::', '2001:1f:ffff::', undefined, undefined],
    ['2001:20::/28', '2001:20::', '2001:2f:ffff::', undefined, undefined],
    ['2001:30::/28', '2001:30::', '2001:3f:ffff::', undefined, undefined],
    ['2001:db8::/32', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db7:ffff::', '2001:db9::'],
    ['2002::/16', '2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:ffff::', '2003::'],
    ['2620:4f:8000::/48', '2620:4f:8000::', '2620:4f:8000:ffff::', '2620:4f:7fff:ffff::', '2620:4f:8001::'],
    ['3fff::/20', '3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', '3ffe:ffff::', '3fff:1000::'],
    ['5f00::/16', '5f00::', '5f00:ffff::', undefined, undefined],
    ['fc00::/7', 'fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', undefined, undefined],
    ['fe80::/10', 'fe80::', 'febf:ffff::', undefined, undefined],
    ['fec0::/10', 'fec0::', 'feff:ffff::', undefined, undefined],
    ['ff00::/8', 'ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', undefined, undefined],
    ['not global unicast', '1::', '1fff:ffff::', undefined, '2000::'],
    ['not global unicast, above', '4000::', 'fbff::', '3fff:ffff::', undefined],
  ])('%s', (_range, first, last, before, behind) => {
    for (const address of [first, last]) expect(specialAddress(address), address).toMatch(/^an? /);
    for (const address of [before, behind])
      if (address !== undefined) expect(specialAddress(address), address).toBeUndefined();
  });

  it.each(['8.8.8.8', '93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946', '2a00:1450::1'])('%s is public', (each) =>
    expect(specialAddress(each)).toBeUndefined(),
  );

  it.each(['fe80::1%eth0', '::1%lo', 'partner.example', '', '127.1', '0x7f.0.0.1'])('%j is none', (each) =>
    expect(specialAddress(each)).toMatch(/^an? /),
  );

  it.each([
    ['http://127.0.0.1/', 'a loopback'],
    ['http://2130706433/', 'a loopback'],
    ['http://0x7f.1/', 'a loopback'],
    ['http://017700000001/', 'a loopback'],
    ['http://[::1]/', 'a loopback'],
    ['http://[::ffff:10.0.0.1]/', 'an IPv4-mapped'],
    ['http://[::ffff:a00:1]/', 'an IPv4-mapped'],
    ['http://169.254.169.254/latest/meta-data', 'a link-local'],
    ['http://①②⑦.0.0.1/', 'a loopback'],
    ['http://8.8.8.8/', undefined],
    // Only its resolution tells.
    ['http://localhost/', undefined],
  ])('the host of %s', (url, special) => expect(specialHost(new URL(url).hostname)).toBe(special));

  it('a name that resolves to the machine itself is not connected to, in whatever shape the answer is asked for', async () => {
    for (const all of [true, false]) {
      const error = await new Promise<Error | null>((done) =>
        lookupPublic('`allow_private: true` in the target')('localhost', { all }, (failed) => done(failed)),
      );
      expect(error).toMatchObject({ code: 'TARGET_ADDRESS' });
      expect(error?.message).toMatch(/^localhost resolves to \S+, a loopback address; .*`allow_private: true`/);
    }
    // It is so because of the check: the resolver knows the name.
    const known = await new Promise((done) => resolve('localhost', (error) => done(error)));
    expect(known).toBeNull();
  });

  it('a public address goes through, in the shape that is asked for', async () => {
    const asked = async (all: boolean) =>
      new Promise((done) =>
        lookupPublic('`allow_private: true` in the target')('8.8.8.8', { all }, (...answer) => done(answer)),
      );
    expect(await asked(true)).toEqual([null, [{ address: '8.8.8.8', family: 4 }]]);
    expect(await asked(false)).toEqual([null, '8.8.8.8', 4]);
  });
});
