import { z } from 'zod';
import { address, duration } from './fields.ts';

export const http = z
  .strictObject({
    listen: address()
      .prefault('127.0.0.1:9464')
      .describe('Where metrics, health and the API are served, as host:port. Port 0 lets the system choose.'),
    drain: duration()
      .default(35_000)
      .describe('How long a shutdown may take. It must be longer than the longest `timeout`.'),
  })
  .prefault({})
  .describe('The admin listener, and the shutdown.');
