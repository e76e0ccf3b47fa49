import type { Envelope } from '@comity/contract'
import {
  fromAttributes,
  InvalidAttribute,
  InvalidKey,
  MissingAttribute,
  messageId,
  sourceOf,
  teamOfSource,
  toAttributes,
} from '@comity/contract'
import { CloudEvent, HTTP, Kafka } from 'cloudevents'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const example: Envelope = {
  id: messageId('crm', 42),
  source: sourceOf('crm'),
  type: 'crm.customer',
  subject: 'Zoë 100% "q"',
  time: '2026-11-05T10:15:00.123456Z',
  version: 42,
  kind: 'updated',
  tenant: 'agency-7',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  dataschema: 'urn:comity:crm.customer:1',
  extra: { comitysignature: 'a b' },
}

const text = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .map((value) => value.normalize('NFC'))
  .filter((value) => Buffer.byteLength(value) <= 256 && !/\p{Cc}/u.test(value))
const envelope: fc.Arbitrary<Envelope> = fc.record(
  {
    id: fc.string({ minLength: 1, maxLength: 40 }),
    source: fc.constantFrom('/teams/crm', 'https://example.com/x?y=1#z'),
    type: fc.constantFrom('crm.customer', 'com.example.Übung'),
    subject: text,
    time: fc.date({ min: new Date(0), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true }).map((date) => date.toISOString()),
    version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    kind: fc.constantFrom('created', 'updated', 'deleted', 'event'),
    tenant: text,
    dataschema: fc.constant('https://example.com/a'),
    traceparent: fc.constant('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    extra: fc.dictionary(fc.stringMatching(/^x[a-z0-9]{0,10}$/), fc.string({ unit: 'grapheme', maxLength: 30 }), { minKeys: 1 }),
  },
  { requiredKeys: ['id', 'source', 'type', 'subject', 'time', 'version', 'kind'] },
)

describe('the envelope', () => {
  it('has these attributes', () => {
    expect(toAttributes(example)).toEqual({
      'ce-specversion': '1.0',
      'ce-id': 'crm-42',
      'ce-source': '/teams/crm',
      'ce-type': 'crm.customer',
      'ce-subject': 'Zo%C3%AB%20100%25%20%22q%22',
      'ce-time': '2026-11-05T10:15:00.123456Z',
      'ce-partitionkey': 'Zo%C3%AB%20100%25%20%22q%22',
      'ce-comityversion': '42',
      'ce-comitykind': 'updated',
      'ce-comitytenant': 'agency-7',
      'ce-traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'ce-dataschema': 'urn:comity:crm.customer:1',
      'ce-comitysignature': 'a%20b',
      'content-type': 'application/json',
    })
  })

  it('comes back as it was', () => {
    fc.assert(
      fc.property(envelope, (value) => {
        const attributes = toAttributes(value)
        for (const [name, header] of Object.entries(attributes)) {
          expect(name).toMatch(/^(?:ce-[a-z0-9]+|content-type)$/)
          expect(header).toMatch(/^[!-~]*$/)
          expect(header.length).toBeLessThanOrEqual(1024)
        }
        expect(fromAttributes(attributes)).toEqual(value)
      }),
      { numRuns: 200 },
    )
  })

  it('takes the longest key that there can be', () => {
    const subject = 'é'.repeat(128)
    expect(fromAttributes(toAttributes({ ...example, subject })).subject).toBe(subject)
  })

  it('survives headers whose names were capitalised on the way', () => {
    const capitalised = Object.fromEntries(Object.entries(toAttributes(example)).map(([name, value]) => [name.toUpperCase(), value]))
    expect(fromAttributes(capitalised)).toEqual(example)
  })

  it('takes attributes that are not of CloudEvents for what they are: none of ours', () => {
    expect(fromAttributes({ ...toAttributes(example), googclient_schemaid: 'x' })).toEqual(example)
  })

  it('knows the team of a source', () => {
    expect(teamOfSource(sourceOf('data-analysis'))).toBe('data-analysis')
    expect(teamOfSource('/teams/Crm')).toBeUndefined()
    expect(teamOfSource('https://example.com/teams/crm')).toBeUndefined()
  })
})

describe('the official CloudEvents SDK', () => {
  it('reads what we write, over HTTP', () => {
    fc.assert(
      fc.property(envelope, (value) => {
        const headers = toAttributes(value)
        const read = HTTP.toEvent({ headers, body: '{"a":1}' }) as CloudEvent<unknown>
        read.validate()
        // This SDK leaves the percent-encoding that the HTTP binding demands to its caller.
        const plain = (attribute: unknown): string => decodeURIComponent(String(attribute))
        expect(read.data).toEqual({ a: 1 })
        expect([plain(read.id), plain(read.source), plain(read.type), plain(read.subject), plain(read.partitionkey)]).toEqual([
          value.id,
          value.source,
          value.type,
          value.subject,
          value.subject,
        ])
        expect(new Date(read.time as string).getTime()).toBe(new Date(value.time).getTime())
        expect([read.comityversion, read.comitykind]).toEqual([String(value.version), value.kind])
        expect(read.comitytenant === undefined ? undefined : plain(read.comitytenant)).toBe(value.tenant)
      }),
    )
  })

  it('reads what we write, over Kafka, whose headers have another prefix', () => {
    const headers = Object.fromEntries(Object.entries(toAttributes(example)).map(([name, value]) => [name.replace(/^ce-/, 'ce_'), value]))
    const read = Kafka.toEvent({ headers, value: '{"a":1}', body: '{"a":1}' } as never) as CloudEvent<unknown>
    expect([read.id, read.type, read.comityversion]).toEqual(['crm-42', 'crm.customer', '42'])
  })

  it('writes what we read', () => {
    fc.assert(
      fc.property(envelope, (value) => {
        // Not encoded by this SDK, so what its headers may hold is left to it.
        fc.pre([value.id, value.subject, value.tenant ?? '', ...Object.values(value.extra ?? {})].every((part) => !/[%"]/.test(part)))
        const { subject, version, kind, tenant, extra, dataschema, traceparent, ...rest } = value
        const event = new CloudEvent({
          ...rest,
          subject,
          partitionkey: subject,
          datacontenttype: 'application/json',
          data: {},
          comityversion: version,
          comitykind: kind,
          ...(tenant === undefined ? {} : { comitytenant: tenant }),
          ...(traceparent === undefined ? {} : { traceparent }),
          ...extra,
        })
        const headers = Object.fromEntries(Object.entries(HTTP.binary(event).headers).map(([name, header]) => [name, String(header)]))
        const { dataschema: _, ...expected } = value
        expect(fromAttributes(headers)).toEqual(expected)
      }),
    )
  })
})

describe('attributes are refused', () => {
  const attributes = toAttributes(example)

  it.each(['ce-specversion', 'ce-id', 'ce-source', 'ce-type', 'ce-subject', 'ce-time', 'ce-comityversion', 'ce-comitykind'])(
    'without %s',
    (name) => {
      const { [name]: _, ...others } = attributes
      expect(() => fromAttributes(others)).toThrow(MissingAttribute)
      expect(() => fromAttributes(others)).toThrow(name)
    },
  )

  it.each([
    ['ce-specversion', '0.3'],
    ['ce-id', ''],
    ['ce-source', '%20'],
    ['ce-dataschema', 'http://ä'],
    ['ce-time', 'yesterday'],
    ['ce-time', '2026-13-01T00:00:00Z'],
    ['ce-time', '2026-01-01T00:00:00'],
    ['ce-comityversion', '0'],
    ['ce-comityversion', '-1'],
    ['ce-comityversion', '1.5'],
    ['ce-comityversion', '9007199254740992'],
    ['ce-comityversion', '1e3'],
    ['ce-comitykind', 'upserted'],
    ['ce-partitionkey', 'another'],
    ['ce-traceparent', 'xyz'],
    ['ce-subject', '%C3'],
    ['ce-subject', '%zz'],
    ['ce-comity_x', 'a'],
    ['content-type', 'text/plain'],
  ])('with %s = %j', (name, value) => {
    expect(() => fromAttributes({ ...attributes, [name]: value })).toThrow(InvalidAttribute)
  })

  it('with a key or a tenant that is none', () => {
    expect(() => fromAttributes({ ...attributes, 'ce-subject': '', 'ce-partitionkey': '' })).toThrow(InvalidKey)
    expect(() => fromAttributes({ ...attributes, 'ce-subject': '%00', 'ce-partitionkey': '%00' })).toThrow(InvalidKey)
    expect(() => fromAttributes({ ...attributes, 'ce-comitytenant': 'e%CC%81' })).toThrow(InvalidKey)
  })

  it('whatever else they hold: always by a typed error', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(attributes)), fc.string({ unit: 'binary' }), (name, value) => {
        try {
          fromAttributes({ ...attributes, [name]: value })
        } catch (error) {
          expect(error).toHaveProperty('code', expect.stringMatching(/^COMITY_/))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('twice under one name, or not as texts', () => {
    expect(() => fromAttributes({ ...attributes, 'CE-ID': 'x' })).toThrow('twice')
    expect(() => fromAttributes({ ...attributes, 'ce-id': 7 as never })).toThrow('is not a string')
  })

  it('on writing as on reading', () => {
    expect(() => toAttributes({ ...example, version: 0 })).toThrow(InvalidAttribute)
    expect(() => toAttributes({ ...example, kind: 'gone' as never })).toThrow(InvalidAttribute)
    expect(() => toAttributes({ ...example, subject: 'e\u0301' })).toThrow(InvalidKey)
    expect(() => toAttributes({ ...example, id: '\ud800' })).toThrow('surrogate')
    expect(() => toAttributes({ ...example, extra: { id: 'x' } })).toThrow('reserved')
    expect(() => toAttributes({ ...example, extra: { Name: 'x' } })).toThrow(InvalidAttribute)
    expect(() => toAttributes({ ...example, dataschema: 'x'.repeat(1025) })).toThrow('1025 bytes')
  })
})
