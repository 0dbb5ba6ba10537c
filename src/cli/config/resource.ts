/** `SECTION/NAME` on the command line. */
import { RESOURCE_SECTIONS, type ResourceKey } from '../../fleet/ports.ts';
import { suggestion } from '../../config/suggest.ts';
import { OuzelError } from '../../errors.ts';

/** @throws OuzelError USAGE */
export function resourceOf(text: string): ResourceKey {
  const [given = '', name = '', ...more] = text.split('/');
  const section = RESOURCE_SECTIONS.find((each) => each === given);
  if (section === undefined)
    throw new OuzelError(
      'USAGE',
      `"${text}": there is no section "${given}" of resources; ${suggestion(given, RESOURCE_SECTIONS) ?? ''}`,
    );
  if (name === '' || more.length > 0 || !(section === 'types' ? /^[\w-]+(?:\.[\w-]+)*$/ : /^[\w-]+$/).test(name))
    throw new OuzelError('USAGE', `"${text}" is no resource: write ${section}/NAME`);
  return { section, name };
}

/** Its path in the API, below `/api/v1`. */
export const pathOf = ({ section, name }: ResourceKey): string => `/api/v1/config/${section}/${name}`;
