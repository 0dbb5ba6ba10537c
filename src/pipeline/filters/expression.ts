import { expression } from '../../config/fields.ts';
import { OuzelError } from '../../errors.ts';
import { Fault } from '../../expression/index.ts';
import { definePipelineComponent } from '../component.ts';
import { faultError } from '../faults.ts';

/** Lets an event pass where the expression is true. A missing field is false, with the reason `missing_field`. */
export const expressionFilter = definePipelineComponent({
  name: 'filter',
  kind: 'filter',
  summary: 'Lets an event pass where an expression is true.',
  example: 'event.data.total > 1000',
  options: expression().describe('An expression that is true or false. A missing field counts as false.'),
  compile(source, context) {
    const evaluate = context.bind(source);
    const refused = context.filtered(context.name);
    const missing = context.filtered('missing_field');
    return {
      name: context.name,
      run(run) {
        const value = evaluate(run);
        if (value === true) return undefined;
        if (value === false) return refused;
        if (!(value instanceof Fault))
          throw new OuzelError('EVENT_EXPRESSION', `\`${source.source}\` is ${typeof value}, not true or false`, {
            place: source.place,
          });
        if (value.kind !== 'missing_field') throw faultError(value, source);
        context.missing(value.path ?? source.source);
        return missing;
      },
    };
  },
});
