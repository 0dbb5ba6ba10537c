/** What becomes of requests that come in, as they are counted. */
export const INGRESS_RESULTS = [
  'accepted',
  'duplicate',
  'unverified',
  'invalid',
  'too_large',
  'rate_limited',
  'not_found',
  'unavailable',
  'failed',
] as const;
export type IngressResult = (typeof INGRESS_RESULTS)[number];

const OF_STATUS: Readonly<Record<number, IngressResult>> = {
  401: 'unverified',
  403: 'unverified',
  404: 'not_found',
  413: 'too_large',
  429: 'rate_limited',
  503: 'unavailable',
};

export const resultOf = (status: number): IngressResult =>
  OF_STATUS[status] ?? (status < 300 ? 'accepted' : status < 500 ? 'invalid' : 'failed');
