package stamp_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// vectors gives the vectors as lines for Ids.java and ids.py, and the ids they must print.
func vectors(t *testing.T) (lines, ids string) {
	t.Helper()
	file, err := os.Open("../../stamp/testdata/vectors.jsonl")
	require.NoError(t, err)
	defer file.Close()
	for in := bufio.NewScanner(file); in.Scan(); {
		var v struct {
			Fields, ID string
			Parts      []*string
		}
		require.NoError(t, json.Unmarshal(in.Bytes(), &v))
		if v.ID == "" {
			continue // a part is missing: nothing to hash
		}
		line := v.Fields
		for _, part := range v.Parts {
			if part == nil {
				line += "\tnull"
			} else {
				line += "\tx" + *part
			}
		}
		lines += line + "\n"
		ids += v.ID + "\n"
	}
	require.Greater(t, strings.Count(ids, "\n"), 40)
	return lines, ids
}

func TestVectorsJava(t *testing.T) {
	classes := javac(t, ".", "Stamp.java", "testdata/Ids.java")
	lines, ids := vectors(t)
	require.Equal(t, ids, run(t, exec.Command("java", "-cp", classes, "Ids"), lines))
}

func TestVectorsPython(t *testing.T) {
	lines, ids := vectors(t)
	require.Equal(t, ids, run(t, exec.Command(python(t), "testdata/ids.py"), lines))
}
