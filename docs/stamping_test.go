package docs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/stamp"
)

// TestShownFiles: code that a page shows as a file is that file, to the byte.
func TestShownFiles(t *testing.T) {
	shown := regexp.MustCompile("(?s)<!-- file: (\\S+) -->\n```\\w+\n(.*?)```\n")
	checked := 0
	page, err := os.ReadFile("stamping.md")
	require.NoError(t, err)
	for _, m := range shown.FindAllStringSubmatch(string(page), -1) {
		file, err := os.ReadFile(m[1])
		require.NoError(t, err)
		require.Equal(t, string(file), m[2], m[1])
		checked++
	}
	require.Equal(t, 2, checked)

	_, snippet, ok := strings.Cut(string(page), "```go\n")
	require.True(t, ok)
	snippet, _, _ = strings.Cut(snippet, "```")
	source, err := os.ReadFile("../stamp/example_test.go")
	require.NoError(t, err)
	require.Contains(t, string(source), "{\n"+snippet+"}\n")
}

// TestStampWorkedOut: the bytes that stamping.md shows hash to the id it shows, which is the package's.
func TestStampWorkedOut(t *testing.T) {
	page, err := os.ReadFile("stamping.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "Worked out, ")
	require.True(t, ok)
	var input []byte
	for _, m := range regexp.MustCompile(`(?m)^([0-9a-f]{8}) ([0-9a-f]+)  `).FindAllStringSubmatch(rest, -1) {
		b, err := hex.DecodeString(m[1] + m[2])
		require.NoError(t, err)
		input = append(input, b...)
	}
	require.Contains(t, rest, "SHA-256 of these 36 bytes")
	require.Len(t, input, 36)
	sum := sha256.Sum256(input)
	id := hex.EncodeToString(sum[:16])
	require.Contains(t, rest, "begins with `"+id+"`")
	require.Equal(t, id, stamp.ID("payload", []byte("k"), []byte("v")))
}
