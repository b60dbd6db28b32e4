// A js-libp2p peer for tests: TCP, Noise, Yamux and gossipsub, driven by lines of JSON.
//
//   argument  {seed, signed, topics, degree, dial}
//   stdout    {peer, address} | {event: "graft" | "subscribed", topic} | {topic, data, id, from}
//   stdin     {topic, data}   publish these bytes
//
// Bytes are hexadecimal. It ends when its stdin does.

import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { createLibp2p } from 'libp2p'
import snappy from 'snappyjs'

const BLOCK_BYTES_MAX = 10 * 1024 * 1024

const { seed, signed, topics, degree, dial = [] } = JSON.parse(process.argv[2])
const say = value => process.stdout.write(JSON.stringify(value) + '\n')
const hex = bytes => Buffer.from(bytes).toString('hex')

// https://specs.optimism.io/protocol/rollup-node-p2p.html#gossip-parameters
function blockId({ topic, data }) {
  let domain = [0, 0, 0, 0]
  try {
    data = snappy.uncompress(data, BLOCK_BYTES_MAX)
    domain = [1, 0, 0, 0]
  } catch {}
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(Buffer.byteLength(topic)))
  const parts = [Buffer.from(domain), size, Buffer.from(topic), data]
  return createHash('sha256').update(Buffer.concat(parts)).digest().subarray(0, 20)
}

function envelopeId({ topic, data }) {
  return keccak_256(Buffer.concat([Buffer.from(topic + '\0'), data]))
}

const messageId = message =>
  message.topic.startsWith('/optimism/') ? blockId(message) : envelopeId(message)

const pubsub = gossipsub({
  globalSignaturePolicy: signed ? 'StrictSign' : 'StrictNoSign',
  msgIdFn: messageId,
  maxInboundDataLength: BLOCK_BYTES_MAX + 64 * 1024,
  floodPublish: false,
  ...(degree === undefined ? {} : { D: degree, Dlo: degree, Dhi: degree, Dout: 0, Dscore: 0 })
})
const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(seed, 'hex')),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping(), pubsub } // who answers no ping is dropped
})
const gossip = node.services.pubsub
gossip.addEventListener('gossipsub:message', ({ detail: { msg } }) =>
  say({ topic: msg.topic, data: hex(msg.data), id: hex(messageId(msg)), from: msg.from ?? null })
)
gossip.addEventListener('gossipsub:graft', ({ detail: { topic } }) => say({ event: 'graft', topic }))
gossip.addEventListener('subscription-change', ({ detail: { subscriptions } }) =>
  subscriptions.forEach(({ topic }) => say({ event: 'subscribed', topic }))
)
topics.forEach(topic => gossip.subscribe(topic))
for (const address of dial) await node.dial(multiaddr(address))
say({ peer: node.peerId.toString(), address: node.getMultiaddrs()[0].toString() })
for await (const line of createInterface({ input: process.stdin })) {
  const { topic, data } = JSON.parse(line)
  await gossip.publish(topic, Buffer.from(data, 'hex'), { allowPublishToZeroTopicPeers: true })
}
process.exit(0)
