// Renders a Modelfile's template as Ollama does: its structs, its functions, its merging of messages.
//
// Source: template/template.go and api/types.go of github.com/ollama/ollama.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type propertyType []string

func (t *propertyType) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = propertyType{one}
		return nil
	}
	var several []string
	if err := json.Unmarshal(data, &several); err != nil {
		return err
	}
	*t = several
	return nil
}

func (t propertyType) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// As in Ollama, where a property's own properties cannot be ranged over.
type hidden struct{ properties map[string]property }

func (h *hidden) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &h.properties) }

type property struct {
	Type        propertyType `json:"type,omitempty"`
	Items       any          `json:"items,omitempty"`
	Description string       `json:"description,omitempty"`
	Enum        []any        `json:"enum,omitempty"`
	Properties  *hidden      `json:"properties,omitempty"`
}

type tool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Parameters  struct {
			Type       string              `json:"type"`
			Required   []string            `json:"required,omitempty"`
			Properties map[string]property `json:"properties"`
		} `json:"parameters"`
	} `json:"function"`
}

type arguments map[string]any

type call struct {
	Function struct {
		Name      string    `json:"name"`
		Arguments arguments `json:"arguments"`
	} `json:"function"`
}

type message struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	ToolCalls []call `json:"tool_calls"`
	ToolName  string `json:"tool_name"`
}

type request struct {
	Messages []*message `json:"messages"`
	Tools    []tool     `json:"tools"`
}

func collate(given []*message) (string, []*message) {
	var system []string
	var collated []*message
	for _, m := range given {
		if m.Role == "system" {
			system = append(system, m.Content)
		}
		if n := len(collated); n > 0 && collated[n-1].Role == m.Role && m.Role != "tool" {
			collated[n-1].Content += "\n\n" + m.Content
		} else {
			collated = append(collated, m)
		}
	}
	return strings.Join(system, "\n\n"), collated
}

func main() {
	source, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	functions := template.FuncMap{"json": func(v any) string {
		text, _ := json.Marshal(v)
		return string(text)
	}}
	parsed := template.Must(
		template.New("").Option("missingkey=zero").Funcs(functions).Parse(string(source)))
	var requests []request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		panic(err)
	}
	rendered := []string{}
	for _, r := range requests {
		var text strings.Builder
		system, messages := collate(r.Messages)
		err := parsed.Execute(&text, map[string]any{
			"System": system, "Messages": messages, "Tools": r.Tools, "Response": "",
		})
		if err != nil {
			panic(err)
		}
		rendered = append(rendered, text.String())
	}
	out, _ := json.Marshal(rendered)
	fmt.Println(string(out))
}
