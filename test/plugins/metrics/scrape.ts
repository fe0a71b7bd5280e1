/** What `/metrics` told: values by series, as text such as `noetl_slots` or `x_total{a="b",c="d"}`. */
export interface Scrape {
  text: string
  values: Map<string, number>
  /** Names as their TYPE lines tell them. */
  types: Map<string, string>
  /** The value of one series; NaN when there is none. */
  of(series: string): number
}

export async function scrape(url: string | undefined, token?: string): Promise<Scrape> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const answer = await fetch(`${url}/metrics`, { headers })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}: ${text}`)
  const values = new Map<string, number>()
  const types = new Map<string, string>()
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line)
    if (type !== null) types.set(type[1]!, type[2]!)
    const sample = /^([^#\s]\S*(?:\{.*\})?) (\S+)$/.exec(line)
    if (sample !== null) values.set(sample[1]!, Number(sample[2]))
  }
  return { text, values, types, of: (series) => values.get(series) ?? Number.NaN }
}
