/** The lane of what names none; without a plugin that brings others there is no other. */
export const NORMAL_LANE = 'normal'

/** What a lane or a pool may be called: it is a part of a subject and of a consumer's name. */
export function isPlaceName(name: string): boolean {
  return /^[A-Za-z0-9_-]{1,60}$/.test(name)
}

/** What to do where lanes are asked for and there is only the one. */
export function laneHint(lanes: readonly string[]): string {
  return lanes.length > 1 ? '' : ' Others come with a plugin: noetlctl plugins install @noetl/lanes'
}
