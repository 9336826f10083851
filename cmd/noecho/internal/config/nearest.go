package config

import (
	"slices"
	"strings"
)

// otherNames are the words other systems use for our settings (NATS, Vector, Pulsar, Kafka's own clients, ...).
var otherNames = map[string]string{
	"ttl": "window", "default_ttl": "window", "dedup_window": "window", "duplicate_window": "window", "max_age": "window",
	"bootstrap_servers": "brokers", "bootstrap_server": "brokers", "seed_brokers": "brokers", "addresses": "brokers",
	"topic": "input", "input_topic": "input", "source": "input", "output_topic": "output", "target": "output",
	"group_id": "group", "consumer_group": "group", "group_instance_id": "instance_id",
	"store_path": "data_dir", "store_dir": "data_dir", "path": "data_dir", "dir": "data_dir",
	"auto_offset_reset": "start_at", "start_offset": "start_at", "flush_interval": "commit_interval",
	"max_store_capacity": "max_bytes", "max_entries": "max_keys", "cap": "max_keys", "refresh_on_drop": "refresh",
	"password": "sasl_password_file", "username": "sasl_username", "user": "sasl_username",
	"ca_file": "tls_ca", "cert_file": "tls_cert", "key_file": "tls_key",
	"insecure": "tls_insecure_skip_verify", "seed": "hash_seed", "dedup_key": "key", "message_id": "key",
}

// Nearest returns the setting that somebody who wrote name most likely meant, and how many letters are between the
// two (0: another system's word for it). Dashes and underscores, capitals and small letters are the same.
func Nearest(name string) (setting string, distance int) {
	name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if s, ok := otherNames[name]; ok {
		return s, 0
	}
	distance = 1 << 30
	for i := range Settings {
		if d := editDistance(name, Settings[i].Name); d < distance {
			setting, distance = Settings[i].Name, d
		}
	}
	return setting, distance
}

// editDistance is Levenshtein's, by the two-row method of Wagner and Fischer (1974).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + slices.Min([]int{diagonal, row[j], row[j+1]})
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
