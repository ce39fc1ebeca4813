//nolint:gosmopolitan // Texts of many scripts are what is measured.
package twitter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tweetqueue/twitter"
)

// BenchmarkParseTweet measures a mix of texts as people write them: plain and accented English with
// and without links, Japanese, emoji. Its measure is texts per second on one core.
func BenchmarkParseTweet(b *testing.B) {
	texts := []struct {
		text string
		want int
	}{
		{"Doors open at seven, the band is on at eight, and there are still a few tickets at the counter", 94},
		{"Version 4.2 is out. It starts faster, uses less memory, and no longer forgets your settings. Notes: https://example.com/releases/4.2?utm_source=x&utm_medium=social #golang", 131},
		{"Wir haben heute länger geöffnet – bis 22 Uhr! Schaut vorbei… 🎉", 64},
		{"新しいバージョンを公開しました。動作が速くなり、メモリの使用量も減りました。ぜひお試しください！ https://example.jp/news/20261126", 120},
		{"今日の東京は晴れ☀️最高気温は18度の予想です。洗濯日和になりそうですね。", 70},
		{"Congratulations to the whole team 👏🏽👏🏽 and thank you all 👨‍👩‍👧‍👦 for coming ❤️ see you next year 🇦🇹🇯🇵", 96},
		{"Read it on example.com/blog, or watch the talk (https://youtu.be/dQw4w9WgXcQ).", 80},
		{"@alice @bob_99 yes, e.g. tomorrow at 3.30 p.m.? If that's too late, tell me and I'll move the call.", 99},
	}
	for _, t := range texts {
		require.Equal(b, t.want, twitter.ParseTweet(t.text).WeightedLength, "%s", t.text)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, t := range texts {
			n += twitter.ParseTweet(t.text).WeightedLength
		}
	}
	require.Positive(b, n)
	b.ReportMetric(float64(b.N*len(texts))/b.Elapsed().Seconds(), "texts/s")
}
