package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

// ecsTask is a task definition of deploy/ecs.
type ecsTask struct {
	Memory               string
	ContainerDefinitions []struct {
		Name, User  string
		Command     []string
		Environment []struct{ Name, Value string }
		HealthCheck struct{ Command []string }
		StopTimeout int
	}
}

// TestTaskDefinitionsHaveWhatTheirHalfNeeds loads the pipeline of deploy/cdk with what each task definition hands over,
// and nothing else. internal/awsdeploy tests that the CDK's are the same.
func TestTaskDefinitionsHaveWhatTheirHalfNeeds(t *testing.T) {
	for name, half := range map[string]config.Half{"replicate": config.Replicate, "deliver": config.Deliver} {
		task := readTask(t, name)
		c := task.ContainerDefinitions[0]
		variables := taskVariables(t, task)
		lookup := func(name string) (string, bool) { v, ok := variables[name]; return v, ok }
		if want := name + " -c env:PIPELINE"; strings.Join(c.Command, " ") != want {
			t.Errorf("command %q, want %q", c.Command, want)
		}
		p, err := config.Load(c.Command[2], lookup, half)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Name != "tickets" || p.Stream.Name != "stream" || p.Checkpoint.Store.Table != "table" {
			t.Errorf("%s has pipeline %q, stream %q, store %s", name, p.Name, p.Stream.Name, p.Checkpoint.Store)
		}
		// After the grace there is still something to save, and ECS kills without asking.
		if stop := time.Duration(c.StopTimeout) * time.Second; stop > 120*time.Second || p.ShutdownGrace+10*time.Second > stop {
			t.Errorf("%s: the grace of %s does not end well before stopTimeout, %s, of which Fargate's longest is 120 s", name, p.ShutdownGrace, stop)
		}
		mib, err := strconv.Atoi(task.Memory)
		if err != nil || int64(p.MemoryLimit)*2 > int64(mib)<<20 {
			t.Errorf("%s: memory_limit %v is more than half of the task's %s MiB, %v", name, p.MemoryLimit, task.Memory, err)
		}
		for missing := range variables {
			if _, err := config.Load(c.Command[2], except(lookup, missing), half); err == nil {
				t.Errorf("%s does not need %s: take it out of the task definition", name, missing)
			}
		}
	}
}

// TestHealthCheckOfATask runs the health check's command as ECS does, beside a daemon that listens where the pipeline says.
func TestHealthCheckOfATask(t *testing.T) {
	for _, name := range []string{"replicate", "deliver"} {
		t.Run(name, func(t *testing.T) { // each with its own variables, and none of the other's
			task := readTask(t, name)
			command := task.ContainerDefinitions[0].HealthCheck.Command
			if len(command) < 3 || command[0] != "CMD" || command[1] != "/binlogstreamer" {
				t.Fatalf("health check %q does not run the binary itself", command)
			}
			var alive atomic.Bool
			daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/healthz" || !alive.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			defer daemon.Close()
			for key, value := range taskVariables(t, task) {
				t.Setenv(key, strings.Replace(value, "127.0.0.1:9187", daemon.Listener.Addr().String(), 1))
			}
			var out bytes.Buffer
			if code := execute(t.Context(), command[2:], &out, &out); code != exitFailed || !strings.Contains(out.String(), "503") {
				t.Errorf("of a daemon that is ill: exit code %d, %s", code, &out)
			}
			alive.Store(true)
			if code := execute(t.Context(), command[2:], &out, &out); code != exitDone {
				t.Errorf("of a daemon that is well: exit code %d, %s", code, &out)
			}
		})
	}
}

func readTask(t *testing.T, half string) (task ecsTask) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "ecs", "task-"+half+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &task); err != nil {
		t.Fatal(err)
	}
	return task
}

// taskVariables is what a container of the task has in its environment. The certificates are in the image, so their
// file is another one here.
func taskVariables(t *testing.T, task ecsTask) map[string]string {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "cdk", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ca := filepath.Join(t.TempDir(), "rds-ca.pem")
	if err := os.WriteFile(ca, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const inImage = "/etc/binlogstreamer/rds-ca.pem"
	pipeline := read("pipeline.yaml")
	if !strings.Contains(pipeline, inImage) || !strings.Contains(read("../ecs/Dockerfile"), inImage) {
		t.Errorf("pipeline.yaml and the image's Dockerfile do not agree on %s", inImage)
	}
	values := map[string]string{
		"PIPELINE": strings.Replace(pipeline, inImage, ca, 1), "TABLE_MAPPINGS": read("table-mappings.json"),
		"NAME": "tickets", "REGION": "eu-west-1", "STREAM": "stream", "TABLE": "table", "BUCKET": "bucket", "SOURCE_HOST": "db.example.com", "SOURCE_PORT": "3306",
		"SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:mysql-abcdef",
	}
	variables := map[string]string{}
	c := task.ContainerDefinitions[0]
	for _, e := range c.Environment {
		value, known := values[strings.Trim(e.Value, "${}")]
		if !known {
			t.Errorf("%s is %s, which this test does not know", e.Name, e.Value)
		}
		variables[e.Name] = value
	}
	return variables
}

// except is a lookup that does not find one name.
func except(lookup config.Lookup, missing string) config.Lookup {
	return func(name string) (string, bool) {
		if name == missing {
			return "", false
		}
		return lookup(name)
	}
}
