package faultproxy

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// refusals are the entries of a PutRecords request that are refused, by their places.
type refusals struct {
	codes []string // "" for those that are passed on
	left  int      // how many those are
}

func (r *refusals) all() bool { return r.left == 0 }

// refuseSome takes entries out of a PutRecords request. It gives nil where there is nothing to take out.
func (p *Proxy) refuseSome(pl plan, body []byte) ([]byte, *refusals) {
	var request map[string]json.RawMessage
	var entries []json.RawMessage
	if json.Unmarshal(body, &request) != nil || json.Unmarshal(request["Records"], &entries) != nil || len(entries) == 0 {
		return body, nil
	}
	share := []float64{0.1, 0.5, 0.9}[pl.random.IntN(3)]
	r := &refusals{codes: make([]string, len(entries))}
	var kept []json.RawMessage
	for i, e := range entries {
		switch {
		case pl.random.Float64() >= share:
			kept = append(kept, e)
		case pl.random.Float64() < p.cfg.Throttled:
			r.codes[i] = "ProvisionedThroughputExceededException"
		default:
			r.codes[i] = "InternalFailure"
		}
	}
	if len(kept) == len(entries) {
		return body, nil
	}
	r.left = len(kept)
	p.did(pl.call, Partial)
	records, err := json.Marshal(kept)
	if err != nil {
		return body, nil
	}
	request["Records"] = records
	smaller, err := json.Marshal(request)
	if err != nil {
		return body, nil
	}
	return smaller, r
}

// entry is the answer to an entry that was refused.
func entry(code string) json.RawMessage {
	return fmt.Appendf(nil, `{"ErrorCode":%q,"ErrorMessage":"a fault that was asked for"}`, code)
}

// insert puts the answers to the refused entries between those to the others.
func (r *refusals) insert(body []byte) ([]byte, error) {
	var got struct {
		FailedRecordCount int
		EncryptionType    string `json:",omitempty"`
		Records           []json.RawMessage
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, err
	}
	if len(got.Records) != r.left {
		return nil, fmt.Errorf("%d entries were passed on, %d are answered", r.left, len(got.Records))
	}
	answered := got.Records
	got.Records = nil
	for _, code := range r.codes {
		if code == "" {
			got.Records, answered = append(got.Records, answered[0]), answered[1:]
			continue
		}
		got.FailedRecordCount++
		got.Records = append(got.Records, entry(code))
	}
	return json.Marshal(&got)
}

// answer is that to a request all of whose entries are refused.
func (r *refusals) answer() (*answer, error) {
	body, err := r.insert([]byte(`{"FailedRecordCount":0,"Records":[]}`))
	return &answer{http.StatusOK, http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, body}, err
}
