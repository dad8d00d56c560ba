package hostdeploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigurations has the program read the configurations that come with what starts it. That nothing answers on this
// machine is another matter, of which check tells after it has read them.
func TestConfigurations(t *testing.T) {
	program := binary(t)
	for _, c := range []struct{ file, mappings string }{
		{"deploy/package/example.yaml", "deploy/examples/table-mappings.json"},
		{"deploy/compose/pipeline.yaml", "deploy/compose/table-mappings.json"},
	} {
		dir := t.TempDir()
		text, err := os.ReadFile(filepath.Join(root, c.file))
		if err != nil {
			t.Fatal(err)
		}
		mappings, err := os.ReadFile(filepath.Join(root, c.mappings))
		if err != nil {
			t.Fatal(err)
		}
		// What check would go to is made unreachable, and what it would make on this machine stays in the test's folder.
		config := strings.NewReplacer("/var/lib/binlogstreamer", dir, "http://kinesis:4568", "http://127.0.0.1:1", "http://s3:7070", "http://127.0.0.1:1",
			"host: mysql", "host: 127.0.0.1\n  port: 1").Replace(string(text))
		for name, data := range map[string]string{"pipeline.yaml": config, "table-mappings.json": string(mappings), "mysql_password": "x"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		check := exec.Command(program, "check", "-c", filepath.Join(dir, "pipeline.yaml"))
		check.Env = append(os.Environ(), "CREDENTIALS_DIRECTORY="+dir, "MYSQL_PASSWORD=x", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_MAX_ATTEMPTS=1")
		out, _ := check.CombinedOutput() // it finds that nothing answers
		if !strings.Contains(string(out), "ok    config") {
			t.Errorf("%s: %s", c.file, out)
		}
	}
}
