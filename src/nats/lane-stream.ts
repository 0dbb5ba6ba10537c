/** The stream of what waits in the order of keys, and where in it a consumer's events are. */

export const LANE_STREAM = 'OUZEL_LANES';
export const LANE_SUBJECTS = ['ouzel.lane.>'];

/** Where all is that is stored for a consumer. */
export const laneSubjects = (consumer: string): string => `ouzel.lane.${consumer}.>`;
