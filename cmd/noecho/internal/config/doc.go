// Package config holds the settings of `noecho run`: where they come from, what they may be, and what is said
// when they are wrong.
//
// One setting has one name in four spellings, and one parser for all of them:
//
//	setting        file (YAML)      variable             flag
//	max_bytes      max_bytes: 9Gi   NOECHO_MAX_BYTES     --max-bytes 9Gi
//
//	defaults  ->  file (--config)  ->  NOECHO_* variables  ->  flags  ->  Validate  ->  Config
//	              each source overrides the ones to its left
//
// The naive way is to let each library parse its own source (pflag into typed flags, yaml into a struct). Then the
// three accept different spellings of a size, and each stops at its first mistake. Here every source only delivers
// (name, text, origin); Settings turns text into values, and all mistakes of all sources are reported at once, each
// as one sentence with its remedy.
//
// Secrets (sasl_password, hash_seed) have no flag, because a command line is readable by every user of the machine.
// They come from a variable, the file, or a file of their own (sasl_password_file, hash_seed_file), and Print masks
// them.
//
// Values of Config are plain data; nothing here is safe for concurrent writing, everything is for concurrent reading.
package config
