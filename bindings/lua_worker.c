/* Functions of Lua in the worker threads of datasets.
 *
 * Each worker opens a Lua state of its own when the first element comes, with Lua's libraries, the module and the function
 * as its parcel has it. What is random in a call, math.random too, follows from the element's generator, so that it does
 * not matter which worker makes an element, nor what it made before. Nothing of a state ever leaves its thread but tensors
 * and the text of an error. */
#include "lua_carry.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

#include <lualib.h>
#include <stdio.h>
#include <string.h>

/* Bytes of elements after which garbage is collected, for Lua does not know how big tensors are; instructions after which a
 * worker looks whether it is still wanted. */
enum { COLLECT_AFTER = 8 << 20, LOOK_AFTER = 10000 };

typedef struct worker {
    lua_State *L;
    const bool *cancelled;
    cnn_random **random; /* what the rng draws from */
    size_t passed;       /* bytes since the last collection */
} worker;

/* What a state keeps on its stack. */
enum { HANDLER = 1, FUNCTION, RNG, RANDOMSEED, KEPT = RANDOMSEED };

/* ---- what is different in a worker --------------------------------------------------------------------- */

static bool is_unwanted(const worker *w) {
    return __atomic_load_n(w->cancelled, __ATOMIC_RELAXED) || cnn_interrupted();
}

/* Once that is so, every further instruction is an error, so that no pcall of the function's can hold it up. */
static void look(lua_State *L, lua_Debug *frame) {
    (void)frame;
    if (!is_unwanted(*(worker **)lua_getextraspace(L))) return;
    lua_sethook(L, look, LUA_MASKCOUNT, 1);
    luaL_error(L, "interrupted!");
}

/* A line is written as a whole, whoever else writes. */
static int print(lua_State *L) {
    int count = lua_gettop(L);
    luaL_Buffer line;
    luaL_buffinit(L, &line);
    for (int i = 1; i <= count; i++) {
        if (i > 1) luaL_addchar(&line, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&line);
    }
    luaL_addchar(&line, '\n');
    luaL_pushresult(&line);
    size_t size;
    const char *text = lua_tolstring(L, -1, &size);
    fwrite(text, 1, size, stdout);
    fflush(stdout);
    return 0;
}

static int not_here(lua_State *L) {
    return lcnn_fail(L, "%s: not in worker threads", lua_tostring(L, lua_upvalueindex(1)));
}

/* Replaces the function called name in the table on the top, which goes by `where`, and pops the table. */
static void forbid(lua_State *L, const char *where, const char *name) {
    lua_pushfstring(L, "%s.%s", where, name);
    lua_pushcclosure(L, not_here, 1);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* What would change things for other threads is not to be had. */
static void restrict_program(lua_State *L) {
    lua_register(L, "print", print);
    lua_getglobal(L, "os");
    forbid(L, "os", "exit");
    lua_getglobal(L, "cnn");
    lua_getfield(L, -1, "random");
    forbid(L, "cnn.random", "set_seed");
    lua_getfield(L, -1, "utils");
    forbid(L, "cnn.utils", "set_random_seed");
    lua_pushvalue(L, -1);
    forbid(L, "cnn", "set_seed");
    forbid(L, "cnn", "set_threads");
}

/* Of the program's globals only those that came with the function are here; nil in place of others would be found out much
 * later. */
static int absent_global(lua_State *L) {
    static const char *const of_other_luas[] = {"arg",        "bit",    "bit32",   "getfenv", "jit",
                                                "loadstring", "module", "setfenv", "unpack"};
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *name = lua_tostring(L, 2);
    if (lcnn_parcel_push_refusal(L, lua_touserdata(L, lua_upvalueindex(1)), name)) return lua_error(L);
    for (size_t i = 0; i < sizeof of_other_luas / sizeof *of_other_luas; i++)
        if (strcmp(name, of_other_luas[i]) == 0) return 0;
    return lcnn_fail(L, "global '%s' is not there in worker threads", name);
}

static void guard_globals(lua_State *L, const lcnn_parcel *parcel) {
    lua_pushglobaltable(L);
    lua_createtable(L, 0, 1);
    lua_pushlightuserdata(L, (void *)parcel);
    lua_pushcclosure(L, absent_global, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

/* ---- opening and closing ------------------------------------------------------------------------------- */

static int to_text(lua_State *L) {
    if (lua_type(L, 1) == LUA_TSTRING) return 1;
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) return 1;
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    return 1;
}

/* What a protected call came to; its message lies on the top. */
static cnn_status judge(const worker *w, int status) {
    if (status == LUA_OK) return CNN_OK;
    if (is_unwanted(w)) return cnn_fail(CNN_ERROR_INTERRUPTED, "map: interrupted");
    if (status == LUA_ERRMEM)
        return cnn_fail(CNN_ERROR_MEMORY, "map: out of memory in the Lua state of a worker thread");
    const char *message =
        lua_type(w->L, -1) == LUA_TSTRING ? lua_tostring(w->L, -1) : "error in an error's text";
    return cnn_fail(CNN_ERROR_CALLBACK, "%s", message);
}

/* Gives the function, the rng and math.randomseed. */
static int open_state(lua_State *L) {
    const lcnn_parcel *parcel = lua_touserdata(L, 1);
    worker *w = *(worker **)lua_getextraspace(L);
    luaL_openlibs(L);
    luaL_requiref(L, "cnn", luaopen_cnn, 1);
    restrict_program(L);
    lcnn_parcel_unpack(L, parcel);
    w->random = lcnn_push_lent_rng(L);
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    lua_remove(L, -2);
    guard_globals(L, parcel);
    return 3;
}

static void close_worker(void *state) {
    worker *w = state;
    lua_close(w->L);
    cnn_free(w);
}

static cnn_status open_worker(void **out, void *parcel, const bool *cancelled) {
    worker *w = cnn_calloc(sizeof *w);
    if (!w) return cnn_fail_memory(sizeof *w);
    w->cancelled = cancelled;
    w->L = luaL_newstate();
    if (!w->L) {
        cnn_free(w);
        return cnn_fail(CNN_ERROR_MEMORY, "map: no memory for the Lua state of a worker thread");
    }
    *(worker **)lua_getextraspace(w->L) = w;
    lua_sethook(w->L, look, LUA_MASKCOUNT, LOOK_AFTER);
    lua_pushcfunction(w->L, to_text);
    lua_pushcfunction(w->L, open_state);
    lua_pushlightuserdata(w->L, parcel);
    cnn_random alike = {0},
               *before =
                   cnn_use_random(&alike); /* layers that are carried draw seeds: all workers the same */
    cnn_status status = judge(w, lua_pcall(w->L, 1, KEPT - HANDLER, HANDLER));
    cnn_use_random(before);
    if (status != CNN_OK)
        close_worker(w);
    else
        *out = w;
    return status;
}

/* ---- elements ------------------------------------------------------------------------------------------ */

typedef struct call {
    cnn_element *element;
    cnn_random *random;
} call;

/* Pushes where the function stands in its file, for messages. */
static const char *push_position(lua_State *L) {
    lua_Debug about;
    if (lua_type(L, FUNCTION) != LUA_TFUNCTION) return "";
    lua_pushvalue(L, FUNCTION);
    lua_getinfo(L, ">S", &about);
    return lua_pushfstring(L, "%s:%d: ", about.short_src, about.linedefined);
}

/* Makes tensors of the results from stack position first on. */
static void check_results(lua_State *L, int first) {
    int count = lua_gettop(L) - first + 1;
    if (count == 0 || lua_isnil(L, first))
        luaL_error(L, "%smap: the function must return the element's tensors, but returned nothing",
                   push_position(L));
    if (count > CNN_MAX_PARTS)
        luaL_error(L, "%smap: the function returned %d values; an element has at most %d tensors",
                   push_position(L), count, CNN_MAX_PARTS);
    for (int i = first; i < first + count; i++) {
        int type = lua_type(L, i);
        cnn_tensor **tensor = luaL_testudata(L, i, LCNN_TENSOR);
        if (type == LUA_TNUMBER || type == LUA_TBOOLEAN)
            lcnn_to_tensor(L, i);
        else if (!tensor || !*tensor || !(*tensor)->data)
            luaL_error(L, "%smap: result %d of the function must be a tensor or a number, got %s",
                       push_position(L), i - first + 1, tensor ? lcnn_describe(L, i) : luaL_typename(L, i));
    }
}

/* Puts the tensors from stack position first on in the place of the element's. */
static void take_results(lua_State *L, int first, cnn_element *element) {
    int before = element->count;
    for (int i = 0; i < before; i++) cnn_tensor_release(element->parts[i]);
    element->count = lua_gettop(L) - first + 1;
    for (int i = 0; i < element->count; i++)
        element->parts[i] = cnn_tensor_retain(*(cnn_tensor **)lua_touserdata(L, first + i));
    for (int i = element->count; i < before; i++) element->parts[i] = NULL;
}

/* Its arguments are what the state keeps, and a call. */
static int make_element(lua_State *L) {
    const call *c = lua_touserdata(L, lua_gettop(L));
    luaL_checkstack(L, 3 * CNN_MAX_PARTS, "map");
    lua_pushvalue(L, RANDOMSEED);
    lua_pushinteger(L, (lua_Integer)cnn_random_bits(c->random));
    lua_call(L, 1, 0);
    int first = lua_gettop(L) + 1;
    lua_pushvalue(L, FUNCTION);
    for (int i = 0; i < c->element->count; i++) lcnn_push_tensor(L, cnn_tensor_retain(c->element->parts[i]));
    lua_pushvalue(L, RNG);
    lua_call(L, c->element->count + 1, LUA_MULTRET);
    check_results(L, first);
    take_results(L, first, c->element);
    return 0;
}

static size_t element_bytes(const cnn_element *element) {
    size_t bytes = 0;
    for (int i = 0; i < element->count; i++) bytes += cnn_tensor_bytes(element->parts[i]);
    return bytes;
}

static cnn_status apply(void *state, void *parcel, cnn_element *element, cnn_random *random) {
    (void)parcel;
    worker *w = state;
    lua_State *L = w->L;
    call c = {element, random};
    w->passed += element_bytes(element);
    lua_pushcfunction(L, make_element);
    for (int i = HANDLER; i <= KEPT; i++) lua_pushvalue(L, i);
    lua_pushlightuserdata(L, &c);
    *w->random = random;
    cnn_status status = judge(w, lua_pcall(L, KEPT + 1, 0, HANDLER));
    *w->random = NULL;
    lua_settop(L, KEPT);
    w->passed += element_bytes(element);
    if (w->passed >= COLLECT_AFTER) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        w->passed = 0;
    }
    return status;
}

static void free_parcel(void *parcel) {
    lcnn_parcel_release(parcel);
}

cnn_status lcnn_dataset_map(cnn_dataset **out, cnn_dataset *dataset, lcnn_parcel *parcel) {
    static const cnn_mapper mapper = {open_worker, apply, close_worker, free_parcel};
    return cnn_dataset_map(out, dataset, &mapper, lcnn_parcel_retain(parcel));
}
