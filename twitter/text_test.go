//nolint:gosmopolitan // Texts of many scripts are what is measured.
package twitter_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/unicode/norm"

	"tweetqueue/twitter"
)

// textCase is a case of testdata/text/cases.yml.
type textCase struct {
	Text    string
	Length  int
	URLs    []string `yaml:"urls"`
	Problem twitter.TextProblem
}

func textCases(t testing.TB) map[string][]textCase {
	t.Helper()
	content, err := os.ReadFile("testdata/text/cases.yml")
	require.NoError(t, err)
	cases := map[string][]textCase{}
	decoder := yaml.NewDecoder(strings.NewReader(string(content)))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&cases))
	return cases
}

// links are the URLs found, as text.
func links(p twitter.ParsedTweet) []string {
	var urls []string
	for _, url := range p.URLs {
		urls = append(urls, p.Text[url.Start:url.End])
	}
	return urls
}

func TestParseTweet(t *testing.T) {
	t.Parallel()
	count := 0
	for name, cases := range textCases(t) {
		count += len(cases)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				p := twitter.ParseTweet(c.Text)
				require.Equal(t, c.Length, p.WeightedLength, "%q", c.Text)
				require.Equal(t, c.URLs, links(p), "%q", c.Text)
				require.Equal(t, c.Problem, p.Problem(twitter.TextLimit), "%q", c.Text)
				require.Equal(t, c.Problem == twitter.TextOK, p.Valid(twitter.TextLimit), "%q", c.Text)
			}
		})
	}
	require.GreaterOrEqual(t, count, 150)
}

// TestParseTweetConformance reads twitter-text's own conformance tests where they lie beside the
// repository; they are not part of it.
func TestParseTweetConformance(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../shared/data/twitter-text/validate.yml")
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("twitter-text's validate.yml is not here: only our own cases were tested")
		return
	}
	require.NoError(t, err)
	var file struct{ Tests map[string]yaml.Node }
	require.NoError(t, yaml.Unmarshal(content, &file))

	// Written for config v2, these two differ under v3.
	corrected := map[string]int{
		"Count a mix of single byte single word, and double word unicode characters":              7,
		"Count unicode emoji chars outside the basic multilingual plane with skin tone modifiers": 4,
	}
	count, met := 0, 0
	for _, section := range []string{"WeightedTweetsCounterTest", "WeightedTweetsWithDiscountedEmojiCounterTest", "UnicodeDirectionalMarkerCounterTest"} {
		node := file.Tests[section]
		var cases []struct {
			Description, Text string
			Expected          struct {
				WeightedLength int `yaml:"weightedLength"`
				Valid          bool
				Permillage     int
			}
		}
		require.NoError(t, node.Decode(&cases))
		for _, c := range cases {
			count++
			want := c.Expected
			if length, ok := corrected[c.Description]; ok && section == "WeightedTweetsCounterTest" {
				want.WeightedLength, want.Permillage = length, length*1000/twitter.TextLimit
				met++
			}
			p := twitter.ParseTweet(c.Text)
			require.Equal(t, want.WeightedLength, p.WeightedLength, c.Description)
			require.Equal(t, want.Valid, p.Valid(twitter.TextLimit), c.Description)
			require.Equal(t, want.Permillage, p.Permillage(twitter.TextLimit), c.Description)
		}
	}
	require.Equal(t, 44, count)
	require.Len(t, corrected, met)
}

func TestParseTweetLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text       string
		limit      int
		problem    twitter.TextProblem
		permillage int
	}{
		"Ideographs":         {strings.Repeat("漢", 140), 280, twitter.TextOK, 1000},
		"IdeographsTooMany":  {strings.Repeat("漢", 141), 280, twitter.TextTooLong, 1007},
		"InvalidAndTooLong":  {strings.Repeat("\uffff", 281), 280, twitter.TextInvalid, 2007},
		"Letters":            {strings.Repeat("a", 280), 280, twitter.TextOK, 1000},
		"LettersTooMany":     {strings.Repeat("a", 281), 280, twitter.TextTooLong, 1003},
		"NotUTF8":            {"a\xffb", 280, twitter.TextInvalid, 14},
		"NotUTF8InURL":       {"https://example.com/a\xc3", 280, twitter.TextInvalid, 89},
		"Premium":            {strings.Repeat("a", 25_000), twitter.PremiumTextLimit, twitter.TextOK, 1000},
		"PremiumTooMany":     {strings.Repeat("漢", 12_501), twitter.PremiumTextLimit, twitter.TextTooLong, 1000},
		"ReplacementIsValid": {"\ufffd", 280, twitter.TextOK, 7},
		"Surrogate":          {"\xed\xa0\x80", 280, twitter.TextInvalid, 21},
		"WhiteSpaceTooLong":  {strings.Repeat(" ", 281), 280, twitter.TextEmpty, 1003},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := twitter.ParseTweet(test.text)
			require.Equal(t, test.problem, p.Problem(test.limit))
			require.Equal(t, test.permillage, p.Permillage(test.limit))
		})
	}
}

// TestParseTweetURLLengths: what is longer than a host, a label or a URL may be is text.
func TestParseTweetURLLengths(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	host := label + "." + label + "." + label + "." + strings.Repeat("a", 57) + ".com" // 253
	for name, test := range map[string]struct {
		text string
		is   bool
	}{
		"Host":              {"https://" + host, true},
		"HostTooLong":       {"https://a" + host[57:] + "." + host[:60] + ".com", false},
		"Label":             {"https://" + label + ".com", true},
		"LabelNoScheme":     {label + ".com", true},
		"LabelTooLong":      {"https://" + label + "a.com", false},
		"LabelTooLongBare":  {label + "a.com", false},
		"Punycode":          {"https://" + strings.Repeat("あ", 50) + ".com", true},
		"PunycodeTooLong":   {"https://" + strings.Repeat("あ", 60) + ".com", false},
		"URL":               {"https://a.com/" + strings.Repeat("a", 4096-14), true},
		"URLNoScheme":       {"a.com/" + strings.Repeat("a", 4096-14), true},
		"URLNoSchemeTooBig": {"a.com/" + strings.Repeat("a", 4096-13), false},
		"URLTooLong":        {"https://a.com/" + strings.Repeat("a", 4096-13), false},
		"URLOfOtherScript":  {"https://a.com/" + strings.Repeat("я", 4096-14), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := twitter.ParseTweet(test.text)
			if test.is {
				require.Equal(t, []string{test.text}, links(p))
				require.Equal(t, twitter.URLLength, p.WeightedLength)
				return
			}
			require.Empty(t, p.URLs)
			require.Greater(t, p.WeightedLength, twitter.URLLength)
		})
	}
	require.Len(t, host, 253)
}

func TestParseTweetTellsNoText(t *testing.T) {
	t.Parallel()
	p := twitter.ParseTweet("secret https://secret.com/\uffff")
	require.Equal(t, `weighted length 32, 1 URLs, problem "invalid character"`, p.String())
	require.NotContains(t, fmt.Sprintf("%v %s", p, p), "secret")
}

func TestParseTweetAllocatesNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts those of the whole process.
	for _, text := range []string{
		"Doors open at seven", "e.g. 3.14 and so on...", "動作が速くなり、メモリの使用量も減りました", "👩🏽‍💻 and 👨‍👩‍👧‍👦 in 🇦🇹 ☀️ 1️⃣",
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() { twitter.ParseTweet(text) }), text)
	}
}

// FuzzParseTweet: whatever a text is, what is said of it is consistent.
func FuzzParseTweet(f *testing.F) {
	for _, cases := range textCases(f) {
		for _, c := range cases {
			f.Add(c.Text)
		}
	}
	f.Add("a\xff.com https://\xf0\x9f.com/\x80")
	f.Fuzz(func(t *testing.T, text string) {
		p := twitter.ParseTweet(text)
		require.GreaterOrEqual(t, p.WeightedLength, 0)
		require.True(t, norm.NFC.IsNormalString(p.Text))
		if utf8.ValidString(text) {
			require.NotEqual(t, utf8.RuneError, p.Invalid)
		} else {
			require.NotZero(t, p.Invalid)
		}
		end, most := 0, 0
		for _, url := range p.URLs {
			require.GreaterOrEqual(t, url.Start, end)
			link := p.Text[url.Start:url.End]
			require.Contains(t, link, ".")
			require.True(t, utf8.ValidString(link), "%q", link)
			most += 2*utf8.RuneCountInString(p.Text[end:url.Start]) + twitter.URLLength
			end = url.End
		}
		most += 2 * utf8.RuneCountInString(p.Text[end:])
		require.LessOrEqual(t, p.WeightedLength, most)
		require.Equal(t, p.Problem(p.WeightedLength-1) == twitter.TextTooLong, p.Valid(p.WeightedLength))

		again := twitter.ParseTweet(p.Text)
		require.Equal(t, p.URLs, again.URLs)
		require.Equal(t, p.Text, again.Text)
		if !strings.Contains(p.Text, "\u034f") { // which form C may add, see ParseTweet
			require.Equal(t, p, again)
		}
		require.Equal(t, p.WeightedLength+1, twitter.ParseTweet(text+" ").WeightedLength, "a space adds itself")
	})
}
