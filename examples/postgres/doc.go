// Command postgres reads orders from Kafka and writes each of them to PostgreSQL once, in two ways: README.md explains them.
//
//	main.go        flags
//	database.go    tables and statements
//	guarded.go     a consumer group; a unique constraint catches what is delivered again after a crash
//	exactly.go     the position is in the database, in the same transaction as the effect
//
// It is a module of its own, so that the database's driver is no dependency of noecho.
package main
