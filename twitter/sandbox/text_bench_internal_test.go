package sandbox

import "testing"

// BenchmarkText is what the text of one tweet costs: measured, compared and shown.
func BenchmarkText(b *testing.B) {
	for name, text := range map[string]string{
		"ASCII": "Doors open at nine. Come early, bring friends, and mind the step at the back entrance of the hall!",
		"Kana":  "ごぜんくじにかいじょうします。おはやめにおこしください。👨‍👩‍👧‍👦 https://example.com/",
		"Links": "Doors open at nine: https://example.com/events/2026/11/26?ref=x and more at example.org/tickets.",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				weightedLength(text)
				sameText(text)
				show(text)
			}
		})
	}
}
