/** What the suite can see of each target. A target that is not here still faces all that is asked of every component. */

export interface TargetFeatures {
  /** The stream that its example delivers into, or the path of the web server, or why nobody can look there. */
  readonly receives:
    | { readonly stream: string; readonly subjects: string }
    | { readonly path: string }
    | { readonly unsupported: string };
  /** Whether `confirmed` says that somebody else has the event for good, or why it cannot. */
  readonly confirms: true | { readonly unsupported: string };
}

export const TARGET_FEATURES: Readonly<Record<string, TargetFeatures>> = {
  publish: { receives: { stream: 'ALERTS', subjects: 'alerts.>' }, confirms: true },
  request: { receives: { stream: 'CHECKS', subjects: 'checks.>' }, confirms: true },
  webhook: { receives: { path: '/orders/' }, confirms: true },
  notify: { receives: { path: '/services/' }, confirms: true },
  sql: {
    receives: { unsupported: 'it writes to the disk of the daemon, where test/integration/sql-target.test.ts looks' },
    confirms: true,
  },
  file: {
    receives: { unsupported: 'it writes to the disk of the daemon, where test/integration/file.test.ts looks' },
    confirms: true,
  },
  'plugin-target': {
    receives: { unsupported: 'it does nothing but look at the event' },
    confirms: { unsupported: 'a plugin says itself when it is done' },
  },
  'thread-target': {
    receives: { unsupported: 'it does nothing but look at the event' },
    confirms: { unsupported: 'a plugin says itself when it is done' },
  },
  log: {
    receives: { unsupported: 'it writes to the standard output of the daemon, which the suite reads as its log' },
    confirms: { unsupported: 'a line that was written is all there is to know: nobody answers' },
  },
};

/** The services that the examples ask, and what they answer. */
export const SERVICES: Readonly<Record<string, string>> = {
  'customers.get': '{"name":"Ada"}',
  'orders.check': '{"ok":true}',
};

/** The buckets that the examples look something up in, and what is in them. */
export const BUCKETS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  customers: { 'c-7': '{"name":"Ada"}' },
};

/** How an example begins that talks to a web server, and how it does when that is one of the suite's own. */
export const atWebServer = (config: string, url: string): string =>
  config
    .replaceAll('url: "https://partner.example', `allow_private: true, url: "${url}`)
    .replaceAll('slack: { url: "https://hooks.slack.com', `allow_private: true, slack: { url: "${url}`);
