package check

import "encoding/json"

// policy is an IAM policy document that allows the actions on the resources.
func policy(actions []string, resources ...string) string {
	type statement struct {
		Effect   string
		Action   []string
		Resource []string
	}
	text, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{{"Allow", actions, resources}}})
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}
