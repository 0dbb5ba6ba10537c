import { z } from 'zod';
import { path } from '../../config/fields.ts';
import { PENDING } from '../../core/run.ts';
import { replyValue, Request, requestOptions } from '../../deliver/request.ts';
import { definePipelineComponent } from '../component.ts';
import { EventEditor } from '../slots.ts';

/** Asks a NATS service about the event and puts the reply into it. */
export const request = definePipelineComponent({
  name: 'request',
  kind: 'transformer',
  summary: 'Sends a request over NATS and writes the reply into the event.',
  example: '{ subject: "customers.get", body: "{{ event.data.customer }}", into: data.profile }',
  options: z.strictObject({
    ...requestOptions(),
    into: path().describe('Where the reply goes: JSON as the value that it is, anything else as text.'),
  }),
  compile({ into, ...options }, context) {
    const asking = new Request(options, context.name, context);
    return {
      name: context.name,
      run(run) {
        asking.send(run, run.span, {
          replied: (reply) => {
            try {
              new EventEditor(run.event).set(into, replyValue(reply));
            } catch (error) {
              return run.fail(error);
            }
            run.resume();
          },
          failed: (error) => run.fail(error),
        });
        return PENDING;
      },
    };
  },
});
