/** One column of a replica's table, as `comity.replicas` lists it. */
export interface ReplicaColumn {
  readonly field: string
  readonly column: string
  /** A Postgres type that gives the wire's text back byte for byte. */
  readonly type: string
  /** Position in the key, from 0; absent for other fields. */
  readonly key?: number
}

export interface ReplicaShape {
  /** The subscription that feeds it. */
  readonly name: string
  readonly schema: string
  readonly table: string
  readonly columns: readonly ReplicaColumn[]
}
