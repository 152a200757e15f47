/* The prompt: lines are edited and remembered by libedit; an expression prints its values, an unfinished
 * statement asks for more. What a value looks like is decided in prelude/repl.lua. */
#include "repl.h"

#include <editline/readline.h>
#include <errno.h>
#include <lauxlib.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_LINES = 1000 };

/* ---- lines --------------------------------------------------------------------------------------------- */

static bool on_terminal; /* both ends: only then lines are edited */
static char history_path[1024];

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

static void start_lines(void) {
    on_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (!on_terminal) return;
    setlocale(LC_CTYPE, "");
    rl_readline_name = "cnnlua";
    rl_initialize();
    using_history();
    stifle_history(HISTORY_LINES);
    find_history();
    if (history_path[0]) read_history(history_path);
}

static void end_lines(void) {
    if (on_terminal && history_path[0] && write_history(history_path) == 0) chmod(history_path, 0600);
}

static void remember(const char *line) {
    if (!on_terminal || !*line) return;
    HIST_ENTRY *last = history_length > 0 ? history_get(history_base + history_length - 1) : NULL;
    if (!last || strcmp(last->line, line) != 0) add_history(line);
}

/* A malloc'ed line without its end, or NULL at the end of input or when Ctrl-C came. */
static char *read_line(const char *prompt) {
    if (on_terminal) return readline(prompt);
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

static const char *prompt_text(lua_State *L, bool first) {
    lua_getglobal(L, first ? "_PROMPT" : "_PROMPT2");
    if (lua_isnil(L, -1)) return first ? "> " : ">> ";
    return luaL_tolstring(L, -1, NULL); /* stays on the stack while in use */
}

typedef enum input { INPUT_LINE, INPUT_CANCELLED, INPUT_END } input;

static int push_line(lua_State *L) {
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

/* Pushes a line if there is one. */
static input push_input(lua_State *L, bool first) {
    int top = lua_gettop(L);
    char *line = read_line(prompt_text(L, first));
    lua_settop(L, top);
    if (program_take_interruption(L)) {
        free(line);
        fputs("\n", stdout);
        return INPUT_CANCELLED;
    }
    if (!line) return INPUT_END;
    remember(line);
    lua_pushcfunction(L, push_line);
    lua_pushlightuserdata(L, line);
    int status = lua_pcall(L, 1, 1, 0);
    free(line);
    if (status != LUA_OK) lua_error(L);
    return INPUT_LINE;
}

/* ---- chunks -------------------------------------------------------------------------------------------- */

static int load_text(lua_State *L, const char *text, size_t length) {
    return luaL_loadbufferx(L, text, length, "=stdin", "t");
}

/* "= 1" was how old Lua prompts printed. */
static bool load_expression(lua_State *L, int line) {
    const char *text = lua_tostring(L, line);
    lua_pushfstring(L, "return %s", text[0] == '=' ? text + 1 : text);
    if (load_text(L, lua_tostring(L, -1), lua_rawlen(L, -1)) == LUA_OK) {
        lua_remove(L, -2);
        return true;
    }
    lua_pop(L, 2);
    return false;
}

static bool is_unfinished(lua_State *L, int status) {
    static const char mark[] = "<eof>";
    size_t length;
    const char *message = lua_tolstring(L, -1, &length);
    return status == LUA_ERRSYNTAX && length >= sizeof mark - 1 &&
           strcmp(message + length - (sizeof mark - 1), mark) == 0;
}

/* The chunk that the line at index `line`, with more lines as they are needed, makes; on the top. */
static input load_statement(lua_State *L, int line, int *status) {
    for (;;) {
        *status = load_text(L, lua_tostring(L, line), lua_rawlen(L, line));
        if (!is_unfinished(L, *status)) return INPUT_LINE;
        input got = push_input(L, false);
        if (got == INPUT_CANCELLED) return got;
        if (got == INPUT_END) return INPUT_LINE; /* the syntax error is what there is to say */
        lua_pushliteral(L, "\n");
        lua_insert(L, -2);
        lua_pushvalue(L, line);
        lua_insert(L, -3);
        lua_concat(L, 3);
        lua_replace(L, line);
        lua_settop(L, line);
    }
}

/* Leaves a function, or a message with the status, on an otherwise empty stack. */
static input load_input(lua_State *L, int *status) {
    lua_settop(L, 0);
    *status = LUA_OK;
    input got = push_input(L, true);
    if (got != INPUT_LINE) return got;
    if (!load_expression(L, 1)) got = load_statement(L, 1, status);
    if (got == INPUT_LINE) lua_remove(L, 1);
    return got;
}

/* ---- results ------------------------------------------------------------------------------------------- */

static void show_error(lua_State *L) {
    const char *message = lua_tostring(L, -1);
    fflush(stdout);
    fprintf(stderr, "%s\n", message ? message : "(error object is not a string)");
    fflush(stderr);
}

/* cnn.repl.NAME, or nil, without the errors of absent names. */
static void push_part(lua_State *L, const char *name) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "cnn");
    lua_pushliteral(L, "repl");
    if (lua_type(L, -2) == LUA_TTABLE && lua_rawget(L, -2) == LUA_TTABLE) {
        lua_pushstring(L, name);
        lua_rawget(L, -2);
    } else {
        lua_pushnil(L);
    }
    lua_replace(L, -4);
    lua_pop(L, 2);
}

/* All values on the stack: the last becomes the global _, and all are printed. */
static void show_results(lua_State *L) {
    int count = lua_gettop(L);
    if (count == 0) return;
    luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
    if (!lua_isnil(L, 1)) {
        lua_pushvalue(L, 1);
        lua_setglobal(L, "_");
    }
    push_part(L, "print");
    lua_insert(L, 1);
    if (program_call(L, count, 0) != LUA_OK) show_error(L);
}

/* An interruption nothing has answered by now came too late. */
static void run_input(lua_State *L, int status) {
    if (status == LUA_OK) status = program_call(L, 0, LUA_MULTRET);
    if (status == LUA_OK)
        show_results(L);
    else
        show_error(L);
    program_take_interruption(L);
    fflush(stdout);
}

static void set_color(lua_State *L) {
    const char *terminal = getenv("TERM"), *refused = getenv("NO_COLOR");
    bool color = isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0 && !(refused && *refused);
    push_part(L, "set_color");
    lua_pushboolean(L, color);
    if (program_call(L, 1, 0) != LUA_OK) show_error(L);
    lua_settop(L, 0);
}

void repl_run(lua_State *L) {
    set_color(L);
    start_lines();
    for (;;) {
        int status;
        input got = load_input(L, &status);
        if (got == INPUT_END) break;
        if (got == INPUT_LINE) run_input(L, status);
    }
    lua_settop(L, 0);
    if (on_terminal) fputs("\n", stdout);
    end_lines();
}
