package testservers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// FakeAWS stands for those parts of AWS that hand out credentials and secrets: the endpoint of ECS tasks, the metadata
// of EC2 machines, web identities at STS, Secrets Manager, the Parameter Store. All
// other services refuse. It accepts any credentials and remembers which.
type FakeAWS struct {
	URL string

	mu      sync.Mutex // covers what follows
	secrets map[string]map[string]string
	params  map[string]string
	faults  map[string]Fault
	life    time.Duration
	issued  map[string]int
	seen    []Shown
	calls   map[string]int
}

// Fault is what a service answers in place of a value.
type Fault struct {
	Status        int
	Code, Message string
}

// Shown are the credentials that a request was signed with.
type Shown struct{ Service, Key, Token string }

// NewFakeAWS starts one for this test alone, and leads all clients of the SDK to it through the environment. Credentials that it hands out are good for an hour.
func NewFakeAWS(t *testing.T) *FakeAWS {
	t.Helper()
	f := &FakeAWS{
		secrets: map[string]map[string]string{}, params: map[string]string{}, faults: map[string]Fault{},
		life: time.Hour, issued: map[string]int{}, calls: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /task-credentials", f.task)
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		fmt.Fprint(w, "imds-session")
	})
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "role") })
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/role", f.machine)
	mux.HandleFunc("POST /{$}", f.post)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { f.refuse(w, r) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	f.URL = s.URL
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.URL, "AWS_ENDPOINT_URL_STS": s.URL,
		// Nothing of this machine's own.
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "", "AWS_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "",
	} {
		t.Setenv(name, value)
	}
	return f
}

// Put stores a version of a secret under a label such as AWSCURRENT. An empty value removes it.
func (f *FakeAWS) Put(id, stage, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.secrets[id] == nil {
		f.secrets[id] = map[string]string{}
	}
	f.secrets[id][stage] = value
}

// PutParameter stores a parameter.
func (f *FakeAWS) PutParameter(name, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.params[name] = value
}

// Fail lets a secret or parameter answer with a fault from now on; the zero Fault ends that.
func (f *FakeAWS) Fail(id string, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[id] = fault
}

// Live sets how long credentials are good that are handed out from now on.
func (f *FakeAWS) Live(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life = d
}

// Seen are the credentials that requests to all services were signed with, in order.
func (f *FakeAWS) Seen() []Shown {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Shown(nil), f.seen...)
}

// Calls says how often a secret's label or a parameter was read: "id AWSCURRENT", or the parameter's name.
func (f *FakeAWS) Calls(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[what]
}

// issue makes credentials of a kind: the first are KIND1, with everything secret in them recognisable.
func (f *FakeAWS) issue(kind string) (key, secret, token string, until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issued[kind]++
	n := f.issued[kind]
	return fmt.Sprintf("%s%d", kind, n), fmt.Sprintf("hushsecret%d", n), fmt.Sprintf("hushtoken%s%d", kind, n), time.Now().Add(f.life)
}

func (f *FakeAWS) task(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "hushauthorization" {
		http.Error(w, "not authorized", http.StatusForbidden)
		return
	}
	f.credentials(w, "AKIDTASK")
}

func (f *FakeAWS) machine(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-session" {
		http.Error(w, "no session", http.StatusUnauthorized)
		return
	}
	f.credentials(w, "AKIDMACHINE")
}

func (f *FakeAWS) credentials(w http.ResponseWriter, kind string) {
	key, secret, token, until := f.issue(kind)
	answer(w, http.StatusOK, map[string]any{
		"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": until.UTC().Format(time.RFC3339),
	})
}

// post is a call of a service that takes them by POST: which, its header or its body says.
func (f *FakeAWS) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, call, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch call {
	case "GetSecretValue":
		f.remember(r)
		f.secret(w, body)
	case "GetParameter":
		f.remember(r)
		f.parameter(w, body)
	case "":
		f.webIdentity(w, body)
	default:
		f.refuse(w, r)
	}
}

// refuse is how all other services answer.
func (f *FakeAWS) refuse(w http.ResponseWriter, r *http.Request) {
	f.remember(r)
	failure(w, Fault{http.StatusBadRequest, "AccessDeniedException", "not here"})
}

var scope = regexp.MustCompile(`Credential=([^/,]+)/[^/]+/[^/]+/([^/]+)/`)

func (f *FakeAWS) remember(r *http.Request) {
	m := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, Shown{Service: m[2], Key: m[1], Token: r.Header.Get("X-Amz-Security-Token")})
}

func (f *FakeAWS) secret(w http.ResponseWriter, body []byte) {
	var in struct{ SecretId, VersionStage string }
	_ = json.Unmarshal(body, &in)
	f.mu.Lock()
	value, fault := f.secrets[in.SecretId][in.VersionStage], f.faults[in.SecretId]
	f.calls[in.SecretId+" "+in.VersionStage]++
	f.mu.Unlock()
	switch {
	case fault.Status != 0:
		failure(w, fault)
	case value == "":
		failure(w, Fault{http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: " + in.VersionStage})
	case value == "binary":
		answer(w, http.StatusOK, map[string]any{"Name": in.SecretId, "VersionId": "v-1", "SecretBinary": "aHVzaA=="})
	default:
		answer(w, http.StatusOK, map[string]any{"Name": in.SecretId, "VersionId": fmt.Sprintf("v-%d", len(value)), "SecretString": value})
	}
}

func (f *FakeAWS) parameter(w http.ResponseWriter, body []byte) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	_ = json.Unmarshal(body, &in)
	f.mu.Lock()
	value, fault := f.params[in.Name], f.faults[in.Name]
	f.calls[in.Name]++
	f.mu.Unlock()
	switch {
	case fault.Status != 0:
		failure(w, fault)
	case value == "":
		failure(w, Fault{http.StatusBadRequest, "ParameterNotFound", ""})
	case !in.WithDecryption:
		answer(w, http.StatusOK, map[string]any{"Parameter": map[string]any{"Name": in.Name, "Value": "AQICAHencrypted", "Version": 3}})
	default:
		answer(w, http.StatusOK, map[string]any{"Parameter": map[string]any{"Name": in.Name, "Type": "SecureString", "Value": value, "Version": 3}})
	}
}

// webIdentity takes a token as an identity provider's and gives credentials for a role.
func (f *FakeAWS) webIdentity(w http.ResponseWriter, body []byte) {
	form, _ := url.ParseQuery(string(body))
	if form.Get("Action") != "AssumeRoleWithWebIdentity" || !strings.HasPrefix(form.Get("WebIdentityToken"), "hushidentity") || form.Get("RoleArn") == "" {
		http.Error(w, "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>", http.StatusBadRequest)
		return
	}
	key, secret, token, until := f.issue("AKIDWEB")
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>`+
		`<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials>`+
		`<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/role/session</Arn><AssumedRoleId>A:session</AssumedRoleId></AssumedRoleUser>`+
		`</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, key, secret, token, until.UTC().Format(time.RFC3339))
}

func failure(w http.ResponseWriter, f Fault) {
	answer(w, f.Status, map[string]any{"__type": f.Code, "message": f.Message, "Message": f.Message})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
