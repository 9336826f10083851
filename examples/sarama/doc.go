// Command sarama is the bare engine under another Kafka client than noecho's own: a consumer group of IBM/sarama whose
// handler does not see copies. The whole of it is ConsumeClaim in main.go.
//
// It is a module of its own, so that the client is no dependency of noecho.
package main
