/* Lines from the user, by libedit where standard input and output are a terminal with a cursor.
 *
 * The terminal is raw, and signals are handled here, only while a line is edited: outside of lines_read everything is
 * as the program found it, but that Ctrl-C writes no ^C. A signal that ends or stops the program first puts the
 * terminal back in order.
 *
 * A pasted text comes in brackets (bracketed paste) and is put into the line as it is, with its line ends and tabs; a
 * recalled entry may have several lines, too. Up and Down move in such a text before they leave it.
 *
 * The history is a text file, one entry after another; further lines of an entry begin with a tab. Each entry is
 * appended at once in one write, so that programs that run side by side and those that are killed lose nothing. */
#include "lines.h"

#include "base/file.h"
#include "cnn.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_ENTRIES = 1000, LONGEST_KEPT = 1024, INDENT = 2, LITERAL = '\1' };

static EditLine *editor; /* NULL: lines are read as they come */
static History *entries;
static lines_completer complete_line;
static char history_path[1024];
static char shown_prompt[512]; /* with LITERAL around what has no width */
static bool takes_pastes;

/* ---- the history ----------------------------------------------------------------------------------------- */

/* $XDG_STATE_HOME/cnnlua/history, or ~/.cnnlua_history. */
static void find_history(void) {
    const char *state_home = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int length = 0;
    if (state_home && *state_home) {
        mkdir(state_home, 0700);
        length = snprintf(history_path, sizeof history_path, "%s/cnnlua", state_home);
        if (length < (int)sizeof history_path) mkdir(history_path, 0700);
        length = snprintf(history_path, sizeof history_path, "%s/cnnlua/history", state_home);
    } else if (home && *home) {
        length = snprintf(history_path, sizeof history_path, "%s/.cnnlua_history", home);
    }
    if (length >= (int)sizeof history_path) history_path[0] = '\0';
}

/* The entry as the file has it, malloc'ed: each of its line ends is followed by a tab. */
static char *to_file(const char *entry) {
    size_t length = strlen(entry);
    char *text = malloc(2 * length + 2), *to = text;
    if (!text) return NULL;
    for (const char *from = entry; *from; from++) {
        *to++ = *from;
        if (*from == '\n') *to++ = '\t';
    }
    memcpy(to, "\n", 2);
    return text;
}

/* Appends a line of the file to the entry before it. */
static char *join(char *entry, const char *line) {
    size_t length = strlen(entry), more = strlen(line);
    char *joined = realloc(entry, length + more + 2);
    if (!joined) return entry;
    joined[length] = '\n';
    memcpy(joined + length + 1, line, more + 1);
    return joined;
}

static void enter(char *entry) {
    HistEvent event;
    if (entry && *entry) history(entries, &event, H_ENTER, entry);
    free(entry);
}

/* Gives how many entries the file has. */
static int load_history(void) {
    FILE *file = fopen(history_path, "re");
    if (!file) return 0;
    char *line = NULL, *entry = NULL;
    size_t capacity = 0;
    int count = 0;
    for (ssize_t length; (length = getline(&line, &capacity, file)) >= 0;) {
        if (length > 0 && line[length - 1] == '\n') line[length - 1] = '\0';
        if (entry && line[0] == '\t') {
            entry = join(entry, line + 1);
        } else {
            enter(entry);
            entry = strdup(line);
            count++;
        }
    }
    enter(entry);
    free(line);
    fclose(file);
    return count;
}

/* Writes the file anew with the entries that are in memory. */
static void shorten_history(void) {
    cnn_file file;
    HistEvent event;
    if (cnn_file_create(&file, history_path) != CNN_OK) return;
    for (int more = history(entries, &event, H_LAST); more >= 0; more = history(entries, &event, H_PREV)) {
        char *text = to_file(event.str);
        if (text) fputs(text, file.stream);
        free(text);
    }
    cnn_file_commit(&file);
}

void lines_remember(const char *entry) {
    HistEvent event;
    if (!editor || entry[strspn(entry, " \t\n")] == '\0') return;
    if (history(entries, &event, H_FIRST) >= 0 && strcmp(event.str, entry) == 0) return;
    history(entries, &event, H_ENTER, entry);
    char *text = to_file(entry);
    int file = history_path[0] ? open(history_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (text && file >= 0 && write(file, text, strlen(text)) < 0) history_path[0] = '\0';
    if (file >= 0) close(file);
    free(text);
}

static void start_history(void) {
    HistEvent event;
    entries = history_init();
    if (!entries) return;
    history(entries, &event, H_SETSIZE, HISTORY_ENTRIES);
    find_history();
    if (history_path[0] && load_history() > 2 * HISTORY_ENTRIES) shorten_history();
}

/* ---- the screen ------------------------------------------------------------------------------------------ */

static struct winsize window(void) {
    struct winsize size = {0};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    if (size.ws_col == 0) size.ws_col = 80;
    if (size.ws_row == 0) size.ws_row = 24;
    return size;
}

/* libedit wants to know what in the prompt moves no cursor: escape sequences as of colours. */
static void set_prompt(const char *prompt) {
    char *to = shown_prompt, *end = shown_prompt + sizeof shown_prompt - 4;
    bool literal = false;
    for (; *prompt && to < end; prompt++) {
        if (*prompt == '\033' && !literal) {
            *to++ = LITERAL;
            literal = true;
        }
        *to++ = *prompt;
        if (literal && ((*prompt >= 'A' && *prompt <= 'Z') || (*prompt >= 'a' && *prompt <= 'z'))) {
            *to++ = LITERAL;
            literal = false;
        }
    }
    *to = '\0';
}

static char *get_prompt(EditLine *el) {
    (void)el;
    return shown_prompt;
}

/* Where the cursor goes when it stands at `column` and a character is written. */
static void advance(wchar_t c, int columns, int *row, int *column) {
    int width = c == L'\t' ? 8 - *column % 8 : c == L'\n' ? 0 : wcwidth(c);
    if (width < 0) width = 2; /* shown as ^X */
    if (c == L'\n' || *column + width > columns) {
        ++*row;
        *column = 0;
    }
    *column += width;
}

/* How many rows below the prompt's first the character at `end` in the line is. */
static int rows_above(const wchar_t *line, const wchar_t *end, int columns) {
    int row = 0, column = 0;
    bool literal = false;
    mbstate_t shift = {0};
    wchar_t c;
    for (const char *p = shown_prompt; *p;) {
        size_t length = mbrtowc(&c, p, MB_CUR_MAX, &shift);
        if (length == 0 || length > MB_LEN_MAX) break;
        if (c == LITERAL)
            literal = !literal;
        else if (!literal)
            advance(c, columns, &row, &column);
        p += length;
    }
    for (; line < end; line++) advance(*line, columns, &row, &column);
    return row + column / columns;
}

/* A terminal of another width has the line's rows elsewhere. */
static void redraw_resized(EditLine *el) {
    el_resize(el);
    const LineInfoW *line = el_wline(el);
    int rows = rows_above(line->buffer, line->cursor, window().ws_col);
    if (rows > 0) fprintf(stdout, "\033[%dA", rows);
    fputs("\r\033[J", stdout);
    el_set(el, EL_REFRESH);
}

/* A line that is given up stays readable above what follows. */
static void leave_line(EditLine *el) {
    const LineInfoW *line = el_wline(el);
    int columns = window().ws_col;
    int rows =
        rows_above(line->buffer, line->lastchar, columns) - rows_above(line->buffer, line->cursor, columns);
    if (rows > 0) fprintf(stdout, "\033[%dB", rows);
}

static void set_pastes(bool on) {
    if (!takes_pastes) return;
    fputs(on ? "\033[?2004h" : "\033[?2004l", stdout);
    fflush(stdout);
}

/* ---- signals --------------------------------------------------------------------------------------------- */

/* SIGINT is main.c's: its handler is called, and libcnn's flag tells of it. */
static const int handled[] = {SIGINT, SIGWINCH, SIGTSTP, SIGTERM, SIGHUP, SIGQUIT};
enum { HANDLED = sizeof handled / sizeof *handled };
static struct sigaction others_handlers[HANDLED];
static volatile sig_atomic_t arrived;
static int wake[2]; /* a pipe: whatever thread a signal comes to, and whenever, waiting for a key ends */

static void on_signal(int number) {
    int error = errno;
    if (number == SIGINT && others_handlers[0].sa_handler != SIG_DFL)
        others_handlers[0].sa_handler(number);
    else
        arrived = number;
    ssize_t written = write(wake[1], "", 1); /* a full one wakes, too */
    (void)written;
    errno = error;
}

static void take_signals(void) {
    struct sigaction own = {.sa_handler = on_signal};
    sigemptyset(&own.sa_mask);
    for (int i = 0; i < HANDLED; i++) {
        sigaction(handled[i], NULL, &others_handlers[i]);
        if (others_handlers[i].sa_handler != SIG_IGN) sigaction(handled[i], &own, NULL);
    }
}

static void give_signals_back(void) {
    for (int i = 0; i < HANDLED; i++) sigaction(handled[i], &others_handlers[i], NULL);
}

/* Stops or ends the program as the signal would have without us; after a stop, goes on. */
static void pass_on(EditLine *el, int number) {
    set_pastes(false);
    el_set(el, EL_PREP_TERM, 0);
    if (number != SIGTSTP) fputs("\n", stdout); /* a shell writes one when a program stops */
    fflush(stdout);
    give_signals_back();
    raise(number);
    take_signals();
    el_set(el, EL_PREP_TERM, 1);
    set_pastes(true);
    fputs("\r\033[J", stdout);
    el_set(el, EL_REFRESH);
}

static void answer_signal(EditLine *el) {
    int number = arrived;
    arrived = 0;
    if (number == SIGWINCH)
        redraw_resized(el);
    else if (number != 0)
        pass_on(el, number);
}

/* ---- keys ------------------------------------------------------------------------------------------------ */

/* Waits for a byte or a signal; gives 1, or 0 at the end of input, or -1. */
static int read_byte(EditLine *el, char *byte) {
    for (;;) {
        struct pollfd in[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = wake[0], .events = POLLIN}};
        answer_signal(el);
        if (cnn_interrupted()) return -1;
        if (poll(in, 2, -1) < 0 && errno != EINTR) return -1;
        char drained[16];
        if (in[1].revents && read(wake[0], drained, sizeof drained) > 0) continue;
        if (!in[0].revents) continue;
        ssize_t count = read(STDIN_FILENO, byte, 1);
        if (count >= 0) return (int)count;
        if (errno != EINTR && errno != EAGAIN) return -1;
    }
}

/* A character; bytes that are none are left out. */
static int read_key(EditLine *el, wchar_t *key) {
    mbstate_t shift = {0};
    for (;;) {
        char byte;
        int got = read_byte(el, &byte);
        if (got != 1) return got;
        switch (mbrtowc(key, &byte, 1, &shift)) {
        case (size_t)-1:
            memset(&shift, 0, sizeof shift);
            break;
        case (size_t)-2:
            break;
        default:
            return 1;
        }
    }
}

/* Pasted text up to its closing bracket, malloc'ed and without line ends at its end; NULL if there is no memory. */
static wchar_t *read_paste(EditLine *el) {
    static const wchar_t bracket[] = L"\033[201~";
    enum { BRACKET = sizeof bracket / sizeof *bracket - 1 };
    size_t length = 0, capacity = 256, matched = 0;
    wchar_t *text = malloc(capacity * sizeof *text), c;
    while (text && matched < BRACKET && el_wgetc(el, &c) == 1) {
        matched = c == bracket[matched] ? matched + 1 : c == bracket[0];
        if (c == L'\r') c = L'\n';
        if (matched > 0 || (c < L' ' && c != L'\n' && c != L'\t') || c == 0x7f) continue;
        if (length + 1 == capacity) {
            wchar_t *larger = realloc(text, (capacity *= 2) * sizeof *text);
            if (!larger) free(text);
            text = larger;
        }
        if (text) text[length++] = c;
    }
    while (length > 0 && text && text[length - 1] == L'\n') length--;
    if (text) text[length] = L'\0';
    return text;
}

static unsigned char paste(EditLine *el, int key) {
    (void)key;
    wchar_t *text = read_paste(el);
    int status = text ? el_winsertstr(el, text) : -1;
    free(text);
    return status == 0 ? CC_REFRESH : CC_REFRESH_BEEP;
}

static unsigned char break_line(EditLine *el, int key) {
    (void)key;
    return el_winsertstr(el, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* The start of the row of the text that p is in. */
static const wchar_t *row_start(const LineInfoW *line, const wchar_t *p) {
    while (p > line->buffer && p[-1] != L'\n') p--;
    return p;
}

static const wchar_t *row_end(const LineInfoW *line, const wchar_t *p) {
    while (p < line->lastchar && *p != L'\n') p++;
    return p;
}

/* Moves the cursor to another row, as far to the right as it was. */
static unsigned char move_to_row(EditLine *el, const LineInfoW *line, const wchar_t *row) {
    long column = line->cursor - row_start(line, line->cursor), width = row_end(line, row) - row;
    el_cursor(el, (int)(row + (column < width ? column : width) - line->cursor));
    return CC_CURSOR;
}

/* Keys that no keyboard has stand for what libedit does with Up and Down. */
#define PREVIOUS_ENTRY "\033[99A"
#define NEXT_ENTRY "\033[99B"

static int entries_back; /* how far the line is from a new one */

static unsigned char up(EditLine *el, int key) {
    (void)key;
    const LineInfoW *line = el_wline(el);
    const wchar_t *row = row_start(line, line->cursor);
    if (row > line->buffer) return move_to_row(el, line, row_start(line, row - 1));
    /* libedit keeps that much of a new line while others are shown. */
    if (entries_back == 0 && line->lastchar - line->buffer >= LONGEST_KEPT) return CC_ERROR;
    entries_back++;
    el_push(el, PREVIOUS_ENTRY);
    return CC_NORM;
}

static unsigned char down(EditLine *el, int key) {
    (void)key;
    const LineInfoW *line = el_wline(el);
    const wchar_t *end = row_end(line, line->cursor);
    if (end < line->lastchar) return move_to_row(el, line, end + 1);
    if (entries_back == 0) return CC_ERROR;
    entries_back--;
    el_push(el, NEXT_ENTRY);
    return CC_NORM;
}

/* Tab indents at the start of a row. */
static bool indent(EditLine *el) {
    const LineInfoW *line = el_wline(el);
    const wchar_t *row = row_start(line, line->cursor);
    for (const wchar_t *p = row; p < line->cursor; p++)
        if (*p != L' ' && *p != L'\t') return false;
    for (long missing = INDENT - (line->cursor - row) % INDENT; missing > 0; missing--)
        el_winsertstr(el, L" ");
    return true;
}

/* Takes away the last bytes before the cursor. */
static void erase(EditLine *el, size_t bytes) {
    const LineInfo *line = el_line(el);
    const char *p = line->cursor - bytes;
    mbstate_t shift = {0};
    int count = 0;
    while (p < line->cursor) {
        size_t length = mbrtowc(NULL, p, (size_t)(line->cursor - p), &shift);
        if (length == 0 || length > (size_t)(line->cursor - p)) break;
        p += length;
        count++;
    }
    if (count > 0) el_deletestr(el, count); /* it takes 0 for an error */
}

static unsigned char complete(EditLine *el, int key) {
    (void)key;
    if (indent(el)) return CC_REFRESH;
    const LineInfo *line = el_line(el);
    size_t length = (size_t)(line->lastchar - line->buffer), cursor = (size_t)(line->cursor - line->buffer);
    char *text = strndup(line->buffer, length); /* what libedit gave does not outlive the next call */
    struct winsize size = window();
    lines_completion found = {0};
    bool any = text && complete_line && complete_line(&found, text, cursor, size.ws_col, size.ws_row);
    if (any && found.insert) {
        erase(el, found.erase);
        el_insertstr(el, found.insert);
    }
    if (any && found.list) {
        fprintf(stdout, "\n\033[J%s\n", found.list);
        el_set(el, EL_REFRESH);
    }
    free(text);
    free(found.insert);
    free(found.list);
    return any ? CC_REFRESH : CC_ERROR;
}

/* ---- the editor ------------------------------------------------------------------------------------------ */

/* A name of libedit's, or of ours, and the keys for it in its notation. */
typedef struct binding {
    const char *keys, *function;
} binding;

static void bind(const binding *list) {
    for (; list->keys; list++) el_set(editor, EL_BIND, list->keys, list->function, NULL);
}

/* What the user may bind otherwise in ~/.editrc. */
static const binding usual[] = {{"^R", "em-inc-search-prev"},
                                {"^S", "em-inc-search-next"},
                                {"^W", "ed-delete-prev-word"},
                                {"\\e[1;5C", "em-next-word"},
                                {"\\e[1;5D", "ed-prev-word"},
                                {"\\e[1;3C", "em-next-word"},
                                {"\\e[1;3D", "ed-prev-word"},
                                {"\\e[H", "ed-move-to-beg"},
                                {"\\eOH", "ed-move-to-beg"},
                                {"\\e[1~", "ed-move-to-beg"},
                                {"\\e[7~", "ed-move-to-beg"},
                                {"\\e[F", "ed-move-to-end"},
                                {"\\eOF", "ed-move-to-end"},
                                {"\\e[4~", "ed-move-to-end"},
                                {"\\e[8~", "ed-move-to-end"},
                                {"\\e[3~", "ed-delete-next-char"},
                                {"^P", "cnn-up"},
                                {"^N", "cnn-down"},
                                {"\\e\\r", "cnn-break-line"},
                                {"\\e\\n", "cnn-break-line"},
                                {NULL, NULL}};

/* What the rest here relies on, where keys begin with Escape (not in vi's manner of editing). */
static const binding needed[] = {
    {"\\e[200~", "cnn-paste"},       {"\\e[A", "cnn-up"},   {"\\eOA", "cnn-up"},
    {"\\e[B", "cnn-down"},           {"\\eOB", "cnn-down"}, {PREVIOUS_ENTRY, "ed-prev-history"},
    {NEXT_ENTRY, "ed-next-history"}, {NULL, NULL}};

/* el_wset keeps the names, where el_set would lose copies of them. */
static void start_keys(void) {
    el_wset(editor, EL_ADDFN, L"cnn-complete", L"Completes names, arguments and files", complete);
    el_wset(editor, EL_ADDFN, L"cnn-paste", L"Inserts pasted text", paste);
    el_wset(editor, EL_ADDFN, L"cnn-break-line", L"Inserts a line end", break_line);
    el_wset(editor, EL_ADDFN, L"cnn-up", L"Goes up a line", up);
    el_wset(editor, EL_ADDFN, L"cnn-down", L"Goes down a line", down);
    el_set(editor, EL_EDITOR, "emacs");
    bind(usual);
    el_source(editor, NULL);
    const char *manner = NULL;
    el_get(editor, EL_EDITOR, &manner);
    takes_pastes = manner && strcmp(manner, "emacs") == 0;
    if (takes_pastes) bind(needed);
    el_set(editor, EL_BIND, "^I", "cnn-complete", NULL);
}

/* The terminal most likely speaks UTF-8 even where no locale is set, as over many an ssh. */
static void start_locale(void) {
    const char *name = setlocale(LC_CTYPE, "");
    if (!name || strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0) setlocale(LC_CTYPE, "C.UTF-8");
}

static bool has_cursor(void) {
    const char *terminal = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && terminal && *terminal &&
           strcmp(terminal, "dumb") != 0;
}

/* libedit miscounts when it lets the terminal shift characters two columns wide: rows are written anew instead. */
static void without_shifts(void) {
    static const char *const capabilities[] = {"ic", "IC", "im", "ei", "dc", "DC", "dm"};
    for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++)
        el_set(editor, EL_SETTC, capabilities[i], "", NULL);
}

/* At exit, however that comes. libedit would also throw away what was typed ahead for the next program. */
static struct termios original;

static void restore_terminal(void) {
    tcsetattr(STDIN_FILENO, TCSADRAIN, &original);
}

bool lines_start(lines_completer completer) {
    complete_line = completer;
    if (!has_cursor() || pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0) return false;
    start_locale();
    start_history();
    if (tcgetattr(STDIN_FILENO, &original) == 0) atexit(restore_terminal);
    editor = entries ? el_init("cnnlua", stdin, stdout, stderr) : NULL;
    if (!editor) return false;
    el_set(editor, EL_SIGNAL, 0);
    el_set(editor, EL_SETTY, "-x", "-echoctl", NULL); /* a ^C would move what a training draws */
    without_shifts();
    el_set(editor, EL_GETCFN, read_key);
    el_set(editor, EL_PROMPT_ESC, get_prompt, LITERAL);
    el_set(editor, EL_HIST, history, entries);
    start_keys();
    return true;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static char *edit_line(const char *prompt) {
    int length = 0;
    set_prompt(prompt);
    arrived = 0;
    entries_back = 0;
    take_signals();
    set_pastes(true);
    const char *line = el_gets(editor, &length);
    set_pastes(false);
    give_signals_back();
    if (!line) leave_line(editor);
    if (!line || length <= 0) return NULL;
    return strndup(line, (size_t)length - (line[length - 1] == '\n'));
}

char *lines_read(const char *prompt) {
    if (editor) return edit_line(prompt);
    fputs(prompt, stdout);
    fflush(stdout);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = getline(&line, &capacity, stdin);
    if (length < 0) {
        clearerr(stdin);
        free(line);
        return NULL;
    }
    if (length > 0 && line[length - 1] == '\n') line[length - 1] = '\0';
    return line;
}
