// Package index keeps the exact map (partition, bucket, hash) -> offset on disk.
package index
