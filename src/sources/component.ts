/** What events come from that are in no stream yet: one file each, and one line in `sources/index.ts`. */
import type { z } from 'zod';

export interface SourceComponent<Name extends string = string, Schema extends z.ZodType = z.ZodType> {
  /** Its key in the configuration: `{ webhook: … }`. */
  readonly name: Name;
  readonly summary: string;
  readonly example: string;
  readonly options: Schema;
}

export const defineSource = <const Name extends string, Schema extends z.ZodType>(
  component: SourceComponent<Name, Schema>,
): SourceComponent<Name, Schema> => component;
