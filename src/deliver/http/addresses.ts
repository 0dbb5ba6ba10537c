/**
 * Addresses that nobody on the public internet has: what a URL must not lead to by mistake or by malice.
 * From the IANA registries of special-purpose addresses for IPv4 and IPv6, whole, and what is deprecated beside them.
 */
import { BlockList, isIP } from 'node:net';

type Range = readonly [network: string, prefix: number, what: string];

/** The narrower range stands first where one holds another. */
const IPV4: readonly Range[] = [
  ['0.0.0.0', 8, 'an unspecified'],
  ['10.0.0.0', 8, 'a private'],
  ['100.64.0.0', 10, 'a shared (carrier-grade NAT)'],
  ['127.0.0.0', 8, 'a loopback'],
  ['169.254.0.0', 16, 'a link-local'],
  ['172.16.0.0', 12, 'a private'],
  ['192.0.0.0', 24, 'a special-purpose'],
  ['192.0.2.0', 24, 'a documentation'],
  ['192.31.196.0', 24, 'a special-purpose'],
  ['192.52.193.0', 24, 'a special-purpose'],
  ['192.88.99.0', 24, 'a 6to4 relay'],
  ['192.168.0.0', 16, 'a private'],
  ['192.175.48.0', 24, 'a special-purpose'],
  ['198.18.0.0', 15, 'a benchmarking'],
  ['198.51.100.0', 24, 'a documentation'],
  ['203.0.113.0', 24, 'a documentation'],
  ['224.0.0.0', 4, 'a multicast'],
  ['255.255.255.255', 32, 'a broadcast'],
  ['240.0.0.0', 4, 'a reserved'],
];

const IPV6: readonly Range[] = [
  ['::', 128, 'an unspecified'],
  ['::1', 128, 'a loopback'],
  ['::ffff:0:0', 96, 'an IPv4-mapped'],
  ['::', 96, 'an IPv4-compatible'],
  ['64:ff9b::', 96, 'a NAT64'],
  ['64:ff9b:1::', 48, 'a NAT64'],
  ['100::', 64, 'a discard-only'],
  ['100:0:0:1::', 64, 'a special-purpose'],
  ['2001::', 32, 'a Teredo'],
  ['2001::', 23, 'a special-purpose'],
  ['2001:db8::', 32, 'a documentation'],
  ['2002::', 16, 'a 6to4'],
  ['2620:4f:8000::', 48, 'a special-purpose'],
  ['3fff::', 20, 'a documentation'],
  ['5f00::', 16, 'a special-purpose'],
  ['fc00::', 7, 'a unique-local'],
  ['fe80::', 10, 'a link-local'],
  ['fec0::', 10, 'a site-local'],
  ['ff00::', 8, 'a multicast'],
];

type Family = 'ipv4' | 'ipv6';

const matcher = (family: Family, network: string, prefix: number): BlockList => {
  const list = new BlockList();
  list.addSubnet(network, prefix, family);
  return list;
};

const lists = (ranges: readonly Range[], family: Family) =>
  ranges.map(([network, prefix, what]) => ({ list: matcher(family, network, prefix), what }));

const SPECIAL = { ipv4: lists(IPV4, 'ipv4'), ipv6: lists(IPV6, 'ipv6') } as const;

/** All that is given out as global unicast. What lies outside of it is not in use, or special. */
const GLOBAL_UNICAST = matcher('ipv6', '2000::', 3);

/**
 * What is special about an address, with its article (`a loopback`); undefined for a public one.
 *
 * @param address IPv4 or IPv6, with or without a zone. What is no address at all counts as special.
 */
export function specialAddress(address: string): string | undefined {
  const plain = address.replace(/%.*$/s, '');
  const version = isIP(plain);
  if (version === 0) return 'an unreadable';
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const found = SPECIAL[family].find(({ list }) => list.check(plain, family));
  if (found !== undefined) return found.what;
  return family === 'ipv6' && !GLOBAL_UNICAST.check(plain, family) ? 'a reserved' : undefined;
}

/** Without the brackets that an IPv6 address has in a URL. */
export const bareHost = (hostname: string): string => hostname.replace(/^\[(.*)\]$/s, '$1');

/** As {@link specialAddress}, for the host of a URL: undefined for a name, which only its resolution can tell. */
export function specialHost(hostname: string): string | undefined {
  const host = bareHost(hostname);
  return isIP(host) === 0 ? undefined : specialAddress(host);
}
