/* The program: runs Lua scripts with the module `cnn` at hand, or an interactive prompt. It takes the options
 * of `lua` and a few more.
 *
 * Signals. Ctrl-C asks libcnn's long loops and, through a hook, Lua code to stop with the error
 * "interrupted!"; a second one before that was answered ends the program. A reader that closes our standard
 * output ends the program quietly (as SIGPIPE does any other), but a child that closes its pipe is the
 * script's business. */
#include "lua_cnn.h"
#include "repl.h"

#include <errno.h>
#include <lualib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

enum { EXIT_INTERRUPTED = 130 };

static lua_State *state; /* for the signal handler */
static volatile sig_atomic_t was_interrupted;
static bool want_traceback;

static const char usage[] =
    "usage: cnnlua [option]… [script [argument]…]\n"
    "  -e STATEMENT   run it\n"
    "  -i             go on with the prompt after the script; fields of its result become globals\n"
    "  -l NAME        require module NAME into the global NAME; -l g=NAME into the global g\n"
    "  -v             show the version; show tracebacks of errors\n"
    "  -E             ignore the environment variables LUA_INIT, LUA_PATH, LUA_CPATH\n"
    "  -W             turn warnings on\n"
    "  --threads N    compute with N threads (results do not depend on it)\n"
    "  --version      show the version and stop\n"
    "  -h, --help     show this and stop\n"
    "  --             end of the options\n"
    "  -              run standard input as a script\n"
    "Without a script cnnlua gives a prompt, or runs standard input if that is no terminal.\n";

/* ---- messages and signals ------------------------------------------------------------------------------ */

static void complain(const char *message) {
    fflush(stdout);
    fprintf(stderr, "cnnlua: %s\n", message);
    fflush(stderr);
}

/* At exit, however that comes: what was printed has to have arrived. */
static void close_stdout(void) {
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed) return;
    if (errno != EPIPE) {
        const char *why = errno ? strerror(errno) : "write error";
        fprintf(stderr, "cnnlua: cannot write to standard output: %s\n", why);
    }
    _exit(EXIT_FAILURE);
}

static void on_broken_pipe(int signal_number) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    int saved = errno;
    if (poll(&out, 1, 0) > 0 && (out.revents & POLLERR)) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
    errno = saved;
}

static void stop_lua(lua_State *L, lua_Debug *frame) {
    (void)frame;
    lua_sethook(L, NULL, 0, 0);
    cnn_interrupt_clear();
    luaL_error(L, "interrupted!");
}

static void on_interrupt(int signal_number) {
    int error = errno;
    if (cnn_interrupted()) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    was_interrupted = 1;
    cnn_interrupt();
    lua_sethook(state, stop_lua, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
    errno = error;
}

int program_take_interruption(lua_State *L) {
    if (!cnn_interrupted()) return 0;
    cnn_interrupt_clear();
    lua_sethook(L, NULL, 0, 0);
    return 1;
}

static void handle(int signal_number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART: Ctrl-C also ends a read */
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

/* ---- calling Lua --------------------------------------------------------------------------------------- */

static int to_message(lua_State *L) {
    const char *message = lua_tostring(L, 1);
    if (!message) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
            message = lua_tostring(L, -1);
        else
            message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    if (want_traceback)
        luaL_traceback(L, L, message, 1);
    else
        lua_pushstring(L, message);
    return 1;
}

int program_call(lua_State *L, int count, int results) {
    int base = lua_gettop(L) - count;
    lua_pushcfunction(L, to_message);
    lua_insert(L, base);
    int status = lua_pcall(L, count, results, base);
    lua_remove(L, base);
    return status;
}

/* Complains about the message on the top if there was an error. */
static int report(lua_State *L, int status) {
    if (status == LUA_OK) return status;
    const char *message = lua_tostring(L, -1);
    complain(message ? message : "(error object is not a string)");
    lua_pop(L, 1);
    return status;
}

/* Runs the chunk on the top, if it compiled. */
static int run_chunk(lua_State *L, int status) {
    if (status == LUA_OK) status = program_call(L, 0, 0);
    return report(L, status);
}

static int run_string(lua_State *L, const char *text, const char *name) {
    return run_chunk(L, luaL_loadbuffer(L, text, strlen(text), name));
}

/* -l name, -l global=name */
static int run_require(lua_State *L, const char *spec) {
    const char *equals = strchr(spec, '=');
    const char *module = equals ? equals + 1 : spec;
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    int status = program_call(L, 1, 1);
    if (status != LUA_OK) return report(L, status);
    if (equals)
        lua_pushlstring(L, spec, (size_t)(equals - spec));
    else
        lua_pushstring(L, spec);
    lua_insert(L, -2);
    lua_pushglobaltable(L);
    lua_insert(L, -3);
    lua_settable(L, -3);
    lua_pop(L, 1);
    return LUA_OK;
}

static int run_init(lua_State *L) {
    const char *name = "=LUA_INIT_5_4", *init = getenv(name + 1);
    if (!init) init = getenv((name = "=LUA_INIT") + 1);
    if (!init) return LUA_OK;
    if (init[0] == '@') return run_chunk(L, luaL_loadfile(L, init + 1));
    return run_string(L, init, name);
}

/* The fields of a script's result become globals for the prompt that follows, where there are none of their names; the
 * result itself is _, as that of any expression. */
static void keep_result(lua_State *L) {
    if (!lua_istable(L, -1)) return;
    lua_pushvalue(L, -1);
    lua_setglobal(L, "_");
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -3);) {
        lua_pushvalue(L, -2);
        bool missing = lua_type(L, -1) == LUA_TSTRING && lua_rawget(L, -4) == LUA_TNIL;
        lua_pop(L, 1);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        if (missing)
            lua_rawset(L, -4);
        else
            lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static int run_script(lua_State *L, char **argv, bool interactive) {
    const char *name = strcmp(argv[0], "-") == 0 && strcmp(argv[-1], "--") != 0 ? NULL : argv[0];
    int status = luaL_loadfile(L, name);
    if (status != LUA_OK) return report(L, status);
    int count = 0;
    for (; argv[count + 1]; count++) {
        luaL_checkstack(L, 3, "too many arguments to script");
        lua_pushstring(L, argv[count + 1]);
    }
    status = report(L, program_call(L, count, interactive ? 1 : 0));
    if (status == LUA_OK && interactive) keep_result(L);
    return status;
}

/* ---- the command line ---------------------------------------------------------------------------------- */

typedef struct options {
    int script; /* position in argv, argc if there is none */
    bool interactive, version, stop, environment, statements, warnings;
    const char *threads;
} options;

/* The value of option `name` at argv[*i]: attached, or the next argument, to which *i moves. */
static const char *option_value(char **argv, int *i, size_t name_length) {
    const char *value = argv[*i] + name_length;
    if (*value == '=' && name_length > 2) return value + 1;
    if (*value) return value;
    if (!argv[*i + 1] || (argv[*i + 1][0] == '-' && argv[*i + 1][1])) return NULL;
    return argv[++*i];
}

static bool is_long(const char *argument, const char *name) {
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && (argument[length] == '\0' || argument[length] == '=');
}

/* False, having complained, if the command line is wrong. */
static bool read_options(options *o, int argc, char **argv) {
    *o = (options){.environment = true};
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        const char *a = argv[i], *bad = NULL;
        if (strcmp(a, "--") == 0) {
            i++;
            break;
        } else if (strcmp(a, "-i") == 0) {
            o->interactive = o->version = true;
        } else if (strcmp(a, "-v") == 0) {
            o->version = want_traceback = true;
        } else if (strcmp(a, "-E") == 0) {
            o->environment = false;
        } else if (strcmp(a, "-W") == 0) {
            o->warnings = true;
        } else if (strncmp(a, "-e", 2) == 0) {
            o->statements = true;
            if (!option_value(argv, &i, 2)) bad = "needs a statement";
        } else if (strncmp(a, "-l", 2) == 0) {
            if (!option_value(argv, &i, 2)) bad = "needs the name of a module";
        } else if (is_long(a, "--threads")) {
            o->threads = option_value(argv, &i, strlen("--threads"));
            if (!o->threads) bad = "needs a number";
        } else if (strcmp(a, "--version") == 0) {
            o->version = o->stop = true;
        } else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            fputs(usage, stdout);
            o->stop = true;
        } else {
            bad = "is not an option";
        }
        if (bad) {
            fprintf(stderr, "cnnlua: '%s' %s\n%s", a, bad, usage);
            return false;
        }
    }
    o->script = i;
    return true;
}

static void print_version(void) {
    printf("cnnlua %s  %s  (%s, %d thread%s)\n", CNN_VERSION, LUA_RELEASE, cnn_cpu(), cnn_threads(),
           cnn_threads() == 1 ? "" : "s");
    fflush(stdout);
}

static void print_banner(void) {
    printf("cnnlua %s \u2014 Lua %s.%s, %d thread%s, %s. help() for help, Ctrl-D to leave.\n", CNN_VERSION,
           LUA_VERSION_MAJOR, LUA_VERSION_MINOR, cnn_threads(), cnn_threads() == 1 ? "" : "s", cnn_cpu());
    fflush(stdout);
}

/* arg[0] is the script, arg[1] … its arguments, what comes before it has negative positions. */
static void set_arg(lua_State *L, int argc, char **argv, int script) {
    if (script == argc) script = 0;
    lua_createtable(L, argc - script, script + 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

/* -e and -l in their order, up to the script. */
static int run_options(lua_State *L, char **argv, int script) {
    for (int i = 1; i < script; i++) {
        const char *a = argv[i];
        int status = LUA_OK;
        if (strncmp(a, "-e", 2) == 0)
            status = run_string(L, option_value(argv, &i, 2), "=(command line)");
        else if (strncmp(a, "-l", 2) == 0)
            status = run_require(L, option_value(argv, &i, 2));
        else if (is_long(a, "--threads"))
            option_value(argv, &i, strlen("--threads"));
        if (status != LUA_OK) return status;
    }
    return LUA_OK;
}

static int set_threads(const char *text) {
    char *end;
    errno = 0;
    long count = strtol(text, &end, 10);
    if (*end || errno || count < 1 || count > 1024) {
        fprintf(stderr, "cnnlua: '--threads' must be between 1 and 1024, got '%s'\n", text);
        return LUA_ERRRUN;
    }
    return cnn_set_threads((int)count) == CNN_OK ? LUA_OK : LUA_ERRRUN;
}

/* All that may raise an error. Gives true if everything went well. */
static int program(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    options o;
    lua_settop(L, 0);
    if (!read_options(&o, argc, argv)) return 0;
    if (o.threads && set_threads(o.threads) != LUA_OK) return 0;
    if (o.version && !(o.interactive && o.script == argc && !o.stop)) print_version();
    if (!o.environment) {
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    }
    if (o.stop) return lua_pushboolean(L, 1), 1;
    luaL_openlibs(L);
    luaL_requiref(L, "cnn", luaopen_cnn, 1);
    lua_getfield(L, -1, "help");
    lua_setglobal(L, "help");
    lua_pop(L, 1);
    set_arg(L, argc, argv, o.script);
    if (o.warnings) lua_warning(L, "@on", 0);
    if (o.environment && run_init(L) != LUA_OK) return 0;
    if (run_options(L, argv, o.script) != LUA_OK) return 0;
    if (o.script < argc && run_script(L, argv + o.script, o.interactive) != LUA_OK) {
        if (!o.interactive) return 0;
    }
    bool nothing = o.script == argc && !o.statements && !o.version;
    if (o.interactive || (nothing && isatty(STDIN_FILENO))) {
        if (o.script == argc) print_banner();
        repl_run(L);
    } else if (nothing && run_chunk(L, luaL_loadfile(L, NULL)) != LUA_OK) {
        return 0;
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Tensors of some megabytes come and go with every step on a gradient tape; giving their pages back to the system each
 * time costs more than filling them. */
static void keep_freed_memory(void) {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
#endif
}

int main(int argc, char **argv) {
    keep_freed_memory();
    state = luaL_newstate();
    if (!state) {
        complain("cannot start: out of memory");
        return EXIT_FAILURE;
    }
    atexit(close_stdout);
    handle(SIGINT, on_interrupt);
    handle(SIGPIPE, on_broken_pipe);
    lua_pushcfunction(state, program);
    lua_pushinteger(state, argc);
    lua_pushlightuserdata(state, argv);
    int status = report(state, lua_pcall(state, 2, 1, 0));
    bool good = status == LUA_OK && lua_toboolean(state, -1);
    signal(SIGINT, SIG_DFL);
    lua_close(state);
    return good ? EXIT_SUCCESS : was_interrupted ? EXIT_INTERRUPTED : EXIT_FAILURE;
}
