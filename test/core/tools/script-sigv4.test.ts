import t from 'tap'
import { EMPTY_HASH, encode, signRequest } from '../../../core/tools/script-sigv4.ts'

const key = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
const now = new Date('2015-08-30T12:36:00Z')
const by = { key, region: 'us-east-1', service: 'service', now }
const host = { host: 'example.amazonaws.com' }

/** Of AWS's published test suite and documentation: requests and the signatures they have. */
t.test('signature: a plain GET has the published one', async (t) => {
  const headers = signRequest({ method: 'GET', path: '/', headers: host }, by)
  t.same(headers, {
    host: 'example.amazonaws.com',
    'x-amz-date': '20150830T123600Z',
    authorization:
      'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
  })
})

t.test('signature: a GET with a query and more headers has the published one', async (t) => {
  const { authorization } = signRequest(
    {
      method: 'GET',
      path: '/',
      query: [
        ['Version', '2010-05-08'],
        ['Action', 'ListUsers'],
      ],
      headers: {
        'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
        host: 'iam.amazonaws.com',
      },
    },
    { ...by, service: 'iam' },
  )
  t.match(authorization, /SignedHeaders=content-type;host;x-amz-date, /)
  t.match(authorization, /Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7$/)
})

t.test('signature: a GET of an object in S3 has the published one', async (t) => {
  const { authorization } = signRequest(
    {
      method: 'GET',
      path: '/test.txt',
      headers: {
        host: 'examplebucket.s3.amazonaws.com',
        range: 'bytes=0-9',
        'x-amz-content-sha256': EMPTY_HASH,
      },
    },
    {
      key: {
        accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
        secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      },
      region: 'us-east-1',
      service: 's3',
      now: new Date('2013-05-24T00:00:00Z'),
    },
  )
  t.match(authorization, /Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41$/)
})

t.test('signature: the token of temporary credentials is sent and signed', async (t) => {
  const headers = signRequest(
    { method: 'GET', path: '/', headers: host },
    { ...by, key: { ...key, sessionToken: 'tok/en==' } },
  )
  t.equal(headers['x-amz-security-token'], 'tok/en==')
  t.match(headers.authorization, /SignedHeaders=host;x-amz-date;x-amz-security-token, /)
})

t.test('signature: whatever is signed changes it', async (t) => {
  const plain = { method: 'GET', path: '/a', headers: { ...host, 'x-one': '1' } }
  const signatures = [
    signRequest(plain, by),
    signRequest({ ...plain, method: 'PUT' }, by),
    signRequest({ ...plain, path: '/b' }, by),
    signRequest({ ...plain, query: [['a', '']] }, by),
    signRequest({ ...plain, headers: { ...host, 'x-one': '2' } }, by),
    signRequest({ ...plain, bodyHash: 'UNSIGNED-PAYLOAD' }, by),
    signRequest(plain, { ...by, region: 'eu-west-1' }),
    signRequest(plain, { ...by, service: 's3' }),
    signRequest(plain, { ...by, now: new Date('2015-08-31T12:36:00Z') }),
    signRequest(plain, { ...by, key: { ...key, secretAccessKey: 'other' } }),
  ].map(({ authorization = '' }) => authorization.slice(-64))
  t.equal(new Set(signatures).size, signatures.length)
  const spaced = signRequest({ ...plain, headers: { ...host, 'x-one': '  1 ' } }, by)
  t.equal(spaced.authorization?.slice(-64), signatures[0], 'space around a value is no part of it')
})

t.test('signature: all but the unreserved characters are encoded', async (t) => {
  t.equal(encode("a-Z_0.~ !'()*/+é"), 'a-Z_0.~%20%21%27%28%29%2A%2F%2B%C3%A9')
})
