package main

import (
	"embed"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed streams
var streamsSource embed.FS

var errNoJava = errors.New("no javac and mvn: Kafka Streams is left out; install a JDK and Maven (Debian: apt-get install openjdk-17-jdk-headless maven)")

// buildStreams compiles the deduplicator and returns its class path. Jars and classes stay below dir, in a folder named by what they are made of.
func buildStreams(dir string) (classpath string, err error) {
	for _, tool := range []string{"javac", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", errNoJava
		}
	}
	pom, err := streamsSource.ReadFile("streams/pom.xml")
	if err != nil {
		return "", err
	}
	source, err := streamsSource.ReadFile("streams/Dedup.java")
	if err != nil {
		return "", err
	}
	home := filepath.Join(dir, fmt.Sprintf("streams-%08x", crc32.ChecksumIEEE(append(pom, source...))))
	classpath = filepath.Join(home, "libs") + "/*:" + filepath.Join(home, "classes")
	if _, err := os.Stat(home); err == nil {
		return classpath, nil
	}
	part := home + ".part" // it appears by rename, so it is whole or absent
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(filepath.Join(part, "classes"), 0o755),
		os.WriteFile(filepath.Join(part, "pom.xml"), pom, 0o600), os.WriteFile(filepath.Join(part, "Dedup.java"), source, 0o600)); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"mvn", "-q", "-B", "-f", filepath.Join(part, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory=" + filepath.Join(part, "libs")},
		{"javac", "-cp", filepath.Join(part, "libs") + "/*", "-d", filepath.Join(part, "classes"), filepath.Join(part, "Dedup.java")},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", args[0], err, out)
		}
	}
	return classpath, os.Rename(part, home)
}
