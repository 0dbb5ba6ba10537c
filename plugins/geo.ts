/** Puts the place of a postal code beside it: a small table, which a real one would read from a file or a service. */
import { defineTransformer, z } from 'ouzel';

const PLACES: Readonly<Record<string, { city: string; lat: number; lon: number }>> = {
  '10115': { city: 'Berlin', lat: 52.5323, lon: 13.3846 },
  '1010': { city: 'Wien', lat: 48.2082, lon: 16.3738 },
  '8001': { city: 'Zürich', lat: 47.3717, lon: 8.5422 },
};

export const geo = defineTransformer({
  options: z.object({
    from: z.string().default('data.zip'),
    into: z.string().default('data.geo'),
    precision: z.number().int().min(0).max(4).default(2),
  }),
  setup: ({ options: { from, into, precision } }) => {
    const round = (degrees: number): number => Number(degrees.toFixed(precision));
    return (event) => {
      const place = PLACES[String(event.get(from))];
      if (place !== undefined) event.set(into, { city: place.city, lat: round(place.lat), lon: round(place.lon) });
    };
  },
});
