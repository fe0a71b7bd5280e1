import type { Random } from './random.ts'

/** How likely it is that something goes wrong with one message on its way, from 0 to 1. */
export interface Weather {
  /** Between workers, clients and servers. */
  net: { slow: number; lost: number; answerLost: number; twice: number }
  /** Between servers and Postgres. `deadlock`: it refuses a statement, to be asked again. */
  store: { slow: number; refused: number; answerLost: number; deadlock: number }
  /** Between all and NATS. */
  bus: { slow: number; lost: number; twice: number }
}

export function calm(): Weather {
  return {
    net: { slow: 0, lost: 0, answerLost: 0, twice: 0 },
    store: { slow: 0, refused: 0, answerLost: 0, deadlock: 0 },
    bus: { slow: 0, lost: 0, twice: 0 },
  }
}

/** Some kinds of bad weather and not others, so that each meets the others in all combinations. */
export function drawWeather(random: Random): Weather {
  const weather = calm()
  const some = (likely: number) => (random.chance(0.4) ? random.pick([0.01, 0.05, likely]) : 0)
  for (const part of [weather.net, weather.store, weather.bus] as Record<string, number>[]) {
    if (random.chance(0.3)) continue
    for (const name of Object.keys(part)) part[name] = some(0.2)
  }
  // A bus that loses all of it, or gives all of it twice.
  if (random.chance(0.1)) weather.bus.lost = 1
  if (random.chance(0.1)) weather.bus.twice = 1
  return weather
}

/** Everything arrives, some of it twice, but many do not hear what came of it. */
export function answersLost(random: Random): Weather {
  const { net, store, bus } = calm()
  return {
    net: { ...net, answerLost: random.pick([0.1, 0.3, 0.5]), twice: random.pick([0, 0.2]) },
    store: { ...store, answerLost: random.pick([0, 0.1, 0.3]) },
    bus: { ...bus, twice: random.pick([0, 0.2]) },
  }
}

/** Milliseconds that a message is on its way. */
export function delay(random: Random, slow: number): number {
  if (slow > 0 && random.chance(slow)) return random.between(20, random.pick([200, 2000, 12_000]))
  return random.between(0.2, 3)
}
