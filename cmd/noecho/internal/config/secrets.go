package config

import (
	"os"
	"strings"
)

// readSecrets fills the secrets that are given by file. A line break at the end is the editor's, not the secret's.
func (l *loader) readSecrets() {
	l.readSecret("sasl_password_file", l.loaded.SASLPasswordFile, "sasl_password", &l.loaded.SASLPassword)
	l.readSecret("hash_seed_file", l.loaded.HashSeedFile, "hash_seed", &l.loaded.HashSeed)
}

func (l *loader) readSecret(fileSetting, path, setting string, value *string) {
	if path == "" || l.errs.has(fileSetting) {
		return
	}
	if *value != "" {
		// Which of the two is stale? Only the operator knows.
		l.errs.add(fileSetting, "both %s (from %s) and %s (from %s) are set; keep one",
			setting, l.loaded.Origin(setting), fileSetting, l.loaded.Origin(fileSetting))
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		l.errs.add(fileSetting, "%s (from %s) cannot be read: %v; check the path and its permissions",
			fileSetting, l.loaded.Origin(fileSetting), err)
		return
	}
	*value = strings.TrimRight(string(text), "\r\n")
	if *value == "" {
		l.errs.add(fileSetting, "the file %s, given by %s, is empty; put the secret into it", path, fileSetting)
		return
	}
	l.loaded.origins[setting] = path
}
