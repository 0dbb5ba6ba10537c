/** Every messaging service, one line each. */
import { discord } from './discord.ts';
import { email } from './email.ts';
import { ntfy } from './ntfy.ts';
import { pagerduty } from './pagerduty.ts';
import { slack } from './slack.ts';
import { teams } from './teams.ts';
import { telegram } from './telegram.ts';

export const services = [slack, discord, teams, telegram, ntfy, pagerduty, email] as const;
