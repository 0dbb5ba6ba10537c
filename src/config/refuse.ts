import type { IssueDetails } from './fields.ts';

interface Sink {
  addIssue(issue: { code: 'custom'; message: string; path?: string[]; params: Record<string, unknown> }): void;
}

/** Reports a value that parts of the schema allow and the whole does not. @param path Of the key to point at. */
export const refuse = (context: Sink, message: string, hint: string, path?: string[]): void => {
  const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
  context.addIssue({ code: 'custom', message, params: { ...params }, ...(path === undefined ? {} : { path }) });
};
