/** Every filter, one line each. */
import { expressionFilter } from './expression.ts';

export const filters = [expressionFilter] as const;
