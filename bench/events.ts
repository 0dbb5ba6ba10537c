/** The events that the benchmark sends, the same ones in every run: plain JSON, about 325 bytes a message. */

export const STREAM = 'EVENTS';
export const SUBJECTS = 'events.>';

const TYPES = ['orders.created', 'orders.paid', 'users.signup', 'payments.failed'] as const;

/** Subject and body of event `index`. Half of the totals are above 1000. */
export function makeEvent(index: number): { readonly subject: string; readonly body: string } {
  const type = TYPES[index % TYPES.length] ?? TYPES[0];
  const body = {
    id: `o-${index}`,
    customer: `c-${index % 1_000}`,
    // 7919 is prime to 2000: the totals go through 0…1999 evenly, and not in step with the types.
    total: ((index * 7_919) % 2_000) + 1,
    status: 'open',
    currency: 'EUR',
    created: '2026-11-25T09:00:00Z',
    items: [
      { sku: 'a-1', quantity: 2, price: 19.9 },
      { sku: 'b-2', quantity: 1, price: 5 },
    ],
    email: `x${index}@example.com`,
    note: 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt',
  };
  return { subject: `events.${type}`, body: JSON.stringify(body) };
}

/** How many of the first `count` events have a total above 1000. */
export function countBig(count: number): number {
  let big = 0;
  for (let index = 0; index < count; index++) if (((index * 7_919) % 2_000) + 1 > 1_000) big++;
  return big;
}
