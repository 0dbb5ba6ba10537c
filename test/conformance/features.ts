/** What the suite can see of each target. A target that is not here still faces all that is asked of every component. */

export interface TargetFeatures {
  /** The stream that its example delivers into, or why nobody can look there. */
  readonly receives: { readonly stream: string; readonly subjects: string } | { readonly unsupported: string };
  /** Whether `confirmed` says that somebody else has the event for good, or why it cannot. */
  readonly confirms: true | { readonly unsupported: string };
}

export const TARGET_FEATURES: Readonly<Record<string, TargetFeatures>> = {
  publish: { receives: { stream: 'ALERTS', subjects: 'alerts.>' }, confirms: true },
  log: {
    receives: { unsupported: 'it writes to the standard output of the daemon, which the suite reads as its log' },
    confirms: { unsupported: 'a line that was written is all there is to know: nobody answers' },
  },
};
