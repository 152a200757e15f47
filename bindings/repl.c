/* The prompt: expressions print their values, an unfinished statement asks for more. What a value looks like is
 * decided in prelude/repl.lua, what Tab offers in prelude/complete.lua.
 *
 * What is read at once may have several lines: it was pasted, or recalled. It is cut into chunks, each as short as
 * it can be, and nothing runs before the last of them is complete; then one runs after the other, up to the first
 * error. On Lua's stack, 1 is the text and 2 the list of its chunks as functions; results come above. */
#include "repl.h"
#include "lines.h"

#include <ctype.h>
#include <dirent.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT = 1, CHUNKS, RESULTS };

static bool edited; /* lines are: on a terminal with a cursor */
static bool color, error_color;

/* ---- the Lua half ---------------------------------------------------------------------------------------- */

/* cnn.NAME, or nil, without the errors of absent names. */
static void push_module_part(lua_State *L, const char *name) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "cnn");
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_pushstring(L, name);
        lua_rawget(L, -2);
    } else {
        lua_pushnil(L);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* cnn.repl.NAME, or nil. */
static void push_part(lua_State *L, const char *name) {
    push_module_part(L, "repl");
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_pushstring(L, name);
        lua_rawget(L, -2);
    } else {
        lua_pushnil(L);
    }
    lua_remove(L, -2);
}

/* ---- completion ------------------------------------------------------------------------------------------ */

/* cnn.repl.list_folder(path): the names in a folder, those of folders with a slash at their end. */
static int list_folder(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    DIR *folder = opendir(path);
    lua_settop(L, 1);
    lua_newtable(L);
    if (!folder) return 1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat about;
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        bool inside = fstatat(dirfd(folder), name, &about, 0) == 0 && S_ISDIR(about.st_mode);
        lua_pushfstring(L, inside ? "%s/" : "%s", name);
        lua_rawseti(L, 2, ++count);
    }
    closedir(folder);
    return 1;
}

typedef struct request {
    lines_completion *out;
    const char *line;
    size_t cursor;
    int columns, rows;
} request;

/* Of the request and the lines before, if any. */
static int complete_protected(lua_State *L) {
    const request *r = lua_touserdata(L, 1);
    push_part(L, "suggest");
    lua_pushvalue(L, 2);
    lua_pushstring(L, r->line);
    lua_pushinteger(L, (lua_Integer)r->cursor);
    lua_pushinteger(L, r->columns);
    lua_pushinteger(L, r->rows);
    lua_call(L, 5, 3);
    const char *insert = lua_tostring(L, -2), *list = lua_tostring(L, -1);
    lua_Integer gone = lua_tointeger(L, -3);
    if (gone > 0 && gone <= (lua_Integer)r->cursor) r->out->erase = (size_t)gone;
    if (insert) r->out->insert = strdup(insert);
    if (list) r->out->list = strdup(list);
    return 0;
}

static lua_State *reader; /* whose lines are being read */

static bool complete(lines_completion *out, const char *line, size_t cursor, int columns, int rows) {
    request r = {.out = out, .line = line, .cursor = cursor, .columns = columns, .rows = rows};
    int top = lua_gettop(reader);
    lua_pushcfunction(reader, complete_protected);
    lua_pushlightuserdata(reader, &r);
    if (lua_isstring(reader, TEXT))
        lua_pushvalue(reader, TEXT);
    else
        lua_pushnil(reader);
    lua_pcall(reader, 2, 0, 0);
    lua_settop(reader, top);
    return out->insert || out->list;
}

/* ---- input ----------------------------------------------------------------------------------------------- */

/* The user's own prompt in _PROMPT or _PROMPT2, or ours. Stays on the stack while in use. */
static const char *prompt_text(lua_State *L, bool first) {
    lua_getglobal(L, first ? "_PROMPT" : "_PROMPT2");
    if (!lua_isnil(L, -1)) return luaL_tolstring(L, -1, NULL);
    if (color && edited) return first ? "\033[1;32m>\033[0m " : "\033[32m>>\033[0m ";
    return first ? "> " : ">> ";
}

typedef enum input { INPUT_LINE, INPUT_CANCELLED, INPUT_END } input;

static int push_line(lua_State *L) {
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

/* The length of a prompt at the start of a line, of one that was copied together with it. */
static size_t copied_prompt(const char *line) {
    size_t length = strspn(line, " \t");
    if (line[length] != '>') return 0;
    length += strspn(line + length, ">");
    return line[length] == ' ' ? length + 1 : line[length] == '\n' || line[length] == '\0' ? length : 0;
}

/* Of what was copied from a session, the lines that were typed. */
static void drop_copied_prompts(char *text) {
    if (copied_prompt(text) == 0) return;
    char *to = text;
    for (char *line = text, *next; line; line = next) {
        size_t prompt = copied_prompt(line), length = strcspn(line, "\n");
        next = line[length] ? line + length + 1 : NULL;
        if (prompt == 0) continue;
        if (to > text) *to++ = '\n';
        memmove(to, line + prompt, length - prompt);
        to += length - prompt;
    }
    *to = '\0';
}

/* Pushes a line if there is one. */
static input push_input(lua_State *L, bool first) {
    int top = lua_gettop(L);
    reader = L;
    char *line = lines_read(prompt_text(L, first));
    lua_settop(L, top);
    if (program_take_interruption(L)) {
        free(line);
        fputs("\n", stdout);
        return INPUT_CANCELLED;
    }
    if (!line) return INPUT_END;
    drop_copied_prompts(line);
    lua_pushcfunction(L, push_line);
    lua_pushlightuserdata(L, line);
    int status = lua_pcall(L, 1, 1, 0);
    free(line);
    if (status != LUA_OK) lua_error(L);
    return INPUT_LINE;
}

/* ---- chunks ---------------------------------------------------------------------------------------------- */

static int load_text(lua_State *L, const char *text, size_t length) {
    return luaL_loadbufferx(L, text, length, "=stdin", "t");
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), part = strlen(end);
    return length >= part && strcmp(text + length - part, end) == 0;
}

static bool is_unfinished(lua_State *L, int status) {
    return status == LUA_ERRSYNTAX && ends_with(lua_tostring(L, -1), "<eof>");
}

/* "= 1" was how old Lua prompts printed. */
static int load_expression(lua_State *L, const char *text) {
    lua_pushfstring(L, "return %s", text[0] == '=' ? text + 1 : text);
    int status = load_text(L, lua_tostring(L, -1), lua_rawlen(L, -1));
    lua_remove(L, -2);
    return status;
}

static bool is_word(const char *text, const char *word) {
    size_t length = strlen(word);
    return strncmp(text, word, length) == 0 && !isalnum((unsigned char)text[length]) && text[length] != '_';
}

/* How many bytes are before the word `local` of a declaration whose names get values, or -1. */
static int local_start(const char *text) {
    const char *word = text + strspn(text, " \t\n");
    if (!is_word(word, "local")) return -1;
    const char *names = word + strlen("local");
    names += strspn(names, " \t\n");
    while (*names && (isalnum((unsigned char)*names) || strchr("_, \t\n", *names))) names++;
    bool function = is_word(word + strlen("local") + strspn(word + strlen("local"), " \t\n"), "function");
    return function || (names[0] == '=' && names[1] != '=') ? (int)(word - text) : -1;
}

/* Names declared local at the start of a chunk would be gone after it, and with them the first half of whatever was
 * copied from a script: they become global. */
static int load_statement(lua_State *L, const char *text) {
    int start = local_start(text);
    if (start < 0) return load_text(L, text, strlen(text));
    lua_pushlstring(L, text, (size_t)start);
    lua_pushfstring(L, "%s     %s", lua_tostring(L, -1), text + start + strlen("local"));
    lua_remove(L, -2);
    int status = load_text(L, lua_tostring(L, -1), lua_rawlen(L, -1));
    lua_remove(L, -2);
    return status;
}

static int ask_help(lua_State *L) {
    push_part(L, "help");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 1, 0);
    return 0;
}

/* Leaves a function or a message. */
static int load_chunk(lua_State *L, const char *text) {
    const char *start = text + strspn(text, " \t");
    if (*start == '?') {
        lua_pushstring(L, start + 1);
        lua_pushcclosure(L, ask_help, 1);
        return LUA_OK;
    }
    int status = load_expression(L, text);
    if (status == LUA_OK || is_unfinished(L, status)) return status;
    lua_pop(L, 1);
    return load_statement(L, text);
}

/* Whether a line goes on with what is before it, as `:batch(32)` does: nothing can begin with that. */
static bool goes_on(const char *line) {
    line += strspn(line, " \t");
    if (strncmp(line, "--", 2) == 0 || strncmp(line, "::", 2) == 0) return false;
    return (*line && strchr(":.,)}]+-*/%^&|<>~", *line)) || is_word(line, "and") || is_word(line, "or");
}

/* More lines are needed. */
static input read_more(lua_State *L) {
    input got = push_input(L, false);
    if (got != INPUT_LINE) return got;
    lua_pushfstring(L, "%s\n%s", lua_tostring(L, TEXT), lua_tostring(L, -1));
    lua_replace(L, TEXT);
    lua_pop(L, 1);
    return got;
}

/* Cuts the text into CHUNKS and reads the rest of the last. In place of one with a syntax error there is the message,
 * and nothing after it. */
static input cut_text(lua_State *L) {
    size_t start = 0, end = 0; /* of the chunk */
    for (;;) {
        const char *text = lua_tostring(L, TEXT);
        end += strcspn(text + end, "\n");
        bool last = text[end] == '\0';
        lua_pushlstring(L, text + start, end - start);
        int status = load_chunk(L, lua_tostring(L, -1));
        lua_remove(L, -2);
        bool unfinished = is_unfinished(L, status), more = false;
        if (unfinished && last) {
            input got = read_more(L);
            if (got == INPUT_CANCELLED) return got;
            more = got == INPUT_LINE; /* else the syntax error is what there is to say */
        } else if (!last) {
            more = unfinished || goes_on(text + end + 1);
        }
        if (!more) {
            lua_rawseti(L, CHUNKS, luaL_len(L, CHUNKS) + 1);
            if (last || status != LUA_OK) return INPUT_LINE;
            start = end + 1;
        }
        lua_settop(L, CHUNKS);
        end++;
    }
}

/* ---- results --------------------------------------------------------------------------------------------- */

static void show_error(lua_State *L) {
    const char *message = lua_tostring(L, -1);
    fflush(stdout);
    fprintf(stderr, "%s%s%s\n", error_color ? "\033[31m" : "",
            message ? message : "(error object is not a string)", error_color ? "\033[0m" : "");
    fflush(stderr);
}

/* The first becomes the global _, and all are printed. */
static void show_results(lua_State *L) {
    int count = lua_gettop(L) - CHUNKS;
    if (count == 0) return;
    luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
    if (!lua_isnil(L, RESULTS)) {
        lua_pushvalue(L, RESULTS);
        lua_setglobal(L, "_");
    }
    push_part(L, "print");
    lua_insert(L, RESULTS);
    if (program_call(L, count, 0) != LUA_OK) show_error(L);
}

/* What a chunk shows of its own accord, print need not show again. */
static void forget_told(lua_State *L) {
    push_module_part(L, "repl");
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_pushliteral(L, "told");
        lua_pushnil(L);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

/* Runs one chunk after the other, up to an error. An interruption nothing has answered by now came too late. */
static void run_chunks(lua_State *L) {
    int status = LUA_OK;
    lua_Integer count = luaL_len(L, CHUNKS);
    for (lua_Integer i = 1; i <= count && status == LUA_OK; i++) {
        lua_settop(L, CHUNKS);
        forget_told(L);
        status = lua_rawgeti(L, CHUNKS, i) == LUA_TFUNCTION ? program_call(L, 0, LUA_MULTRET) : LUA_ERRSYNTAX;
        if (status == LUA_OK)
            show_results(L);
        else
            show_error(L);
        program_take_interruption(L);
        fflush(stdout);
    }
}

/* exit and quit end other prompts: here too, where the user has nothing of that name. */
static bool is_farewell(lua_State *L) {
    static const char *const words[] = {"exit", "quit", "exit()", "quit()"};
    const char *text = lua_tostring(L, TEXT);
    size_t i = 0;
    while (i < 4 && strcmp(text, words[i]) != 0) i++;
    if (i == 4) return false;
    lua_pushglobaltable(L);
    lua_pushlstring(L, text, 4);
    bool taken = lua_rawget(L, -2) != LUA_TNIL;
    lua_settop(L, TEXT);
    return !taken;
}

/* Reads, runs and prints once; false at the end of input. */
static bool run_input(lua_State *L) {
    lua_settop(L, 0);
    input got = push_input(L, true);
    if (got != INPUT_LINE) return got != INPUT_END;
    if (is_farewell(L)) return false;
    lua_newtable(L);
    got = cut_text(L);
    lines_remember(lua_tostring(L, TEXT));
    if (got == INPUT_LINE) run_chunks(L);
    return true;
}

static bool has_colors(FILE *stream) {
    const char *terminal = getenv("TERM"), *refused = getenv("NO_COLOR");
    return isatty(fileno(stream)) && terminal && *terminal && strcmp(terminal, "dumb") != 0 &&
           !(refused && *refused);
}

static void start_lua(lua_State *L) {
    push_module_part(L, "repl");
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_pushliteral(L, "list_folder");
        lua_pushcfunction(L, list_folder);
        lua_rawset(L, -3);
    }
    push_part(L, "set_color");
    lua_pushboolean(L, color);
    if (program_call(L, 1, 0) != LUA_OK) show_error(L);
    lua_settop(L, 0);
}

void repl_run(lua_State *L) {
    color = has_colors(stdout);
    error_color = has_colors(stderr);
    start_lua(L);
    edited = lines_start(complete);
    while (run_input(L)) continue;
    lua_settop(L, 0);
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) fputs("\n", stdout);
}
