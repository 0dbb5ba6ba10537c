/** A configuration with the fleet's layer: a resource that does not load here is set aside, and the others go on. */
import { ConfigError, type LoadedConfig } from '../config/load.ts';
import { type FleetLayer, fleetName, type FleetText } from '../config/fleet.ts';

/** Reads the configuration's files, with a layer on top. @throws ConfigError */
export type LayeredLoader = (fleet?: FleetLayer) => Promise<LoadedConfig>;

export interface FleetLoad {
  readonly loaded: LoadedConfig;
  /** What is not in force as it is stored, by its name (`fleet:consumers/billing`), and why. */
  readonly aside: ReadonlyMap<string, string>;
}

/**
 * Loads the files with the fleet's resources. One that is wrong here (a variable that this instance does not have, a
 * name that its file has too) stays as it is in force now, or is left out: it must not keep the rest from changing.
 *
 * @param inForce Texts that are in force now, by name.
 * @throws ConfigError for what is wrong in the files
 */
export async function loadWithFleet(
  load: LayeredLoader,
  wanted: FleetLayer,
  inForce: ReadonlyMap<string, string>,
): Promise<FleetLoad> {
  const resources = new Map(wanted.resources.map((each) => [fleetName(each), each]));
  const aside = new Map<string, string>();
  for (;;) {
    try {
      const loaded = await load({ ...wanted, resources: [...resources.values()] });
      return { loaded, aside };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const wrong = [...resources.keys()].filter((name) => error.problems.some(({ place }) => place?.file === name));
      // What is wrong stands in a file.
      if (wrong.length === 0) throw error;
      for (const name of wrong) {
        const before = inForce.get(name);
        const { text } = resources.get(name) as FleetText;
        const problems = error.problems.filter(({ place }) => place?.file === name);
        if (!aside.has(name)) aside.set(name, new ConfigError(problems).message);
        if (before === undefined || before === text) resources.delete(name);
        else resources.set(name, { ...(resources.get(name) as FleetText), text: before });
      }
    }
  }
}
