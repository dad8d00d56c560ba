package check

import "encoding/json"

// statement is one of an IAM policy document.
type statement struct {
	Effect   string
	Action   []string
	Resource []string
}

// policy is an IAM policy document that allows the actions on the resources.
func policy(actions []string, resources ...string) string {
	return policyOf(statement{"Allow", actions, resources})
}

func policyOf(statements ...statement) string {
	text, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements})
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}
