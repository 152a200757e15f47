/* Parcels: values of Lua as bytes, and references to tensors.
 *
 * A value is a tag and what the tag asks for. Tables, functions, tensors and objects are numbered as they are met, and met
 * again are their number; so are upvalues, as the number of the first function that has them and their place there. */
#include "lua_carry.h"
#include "base/memory.h"
#include "base/status.h"

#include <string.h>

enum tag { NIL, FALSE, TRUE, INTEGER, FLOAT, STRING, NAME, TABLE, FUNCTION, TENSOR, OBJECT, AGAIN, END };

enum { DEEPEST = 200 }; /* as deep as Lua lets C functions call each other */
enum { MOST_UPVALUES = 256 };

/* A global that functions in a parcel seem to mean: their code has its name among its strings. It may be a field's name
 * after all, so what cannot be packed is an error only where the global is asked for. */
typedef struct global {
    char *name;
    lcnn_parcel *value; /* NULL: it is refused */
    char *refusal;
} global;

struct lcnn_parcel {
    int refs;
    size_t length, capacity, tensor_count;
    unsigned char *bytes;
    cnn_tensor **tensors;
    size_t global_count;
    global *globals;
};

/* ---- parcels ------------------------------------------------------------------------------------------- */

#define PARCEL "cnn.parcel"

lcnn_parcel *lcnn_parcel_retain(lcnn_parcel *parcel) {
    __atomic_fetch_add(&parcel->refs, 1, __ATOMIC_RELAXED);
    return parcel;
}

void lcnn_parcel_release(lcnn_parcel *parcel) {
    if (!parcel || __atomic_sub_fetch(&parcel->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (size_t i = 0; i < parcel->tensor_count; i++) cnn_tensor_release(parcel->tensors[i]);
    for (size_t i = 0; i < parcel->global_count; i++) {
        cnn_free(parcel->globals[i].name);
        lcnn_parcel_release(parcel->globals[i].value);
        cnn_free(parcel->globals[i].refusal);
    }
    cnn_free(parcel->globals);
    cnn_free(parcel->tensors);
    cnn_free(parcel->bytes);
    cnn_free(parcel);
}

static int parcel_gc(lua_State *L) {
    lcnn_parcel **box = luaL_checkudata(L, 1, PARCEL);
    lcnn_parcel_release(*box);
    *box = NULL;
    return 0;
}

static lcnn_parcel *push_parcel(lua_State *L) {
    lcnn_parcel **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    if (luaL_newmetatable(L, PARCEL)) {
        lua_pushcfunction(L, parcel_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    *box = cnn_calloc(sizeof **box);
    if (!*box) lcnn_error(L, cnn_fail_memory(sizeof **box));
    (*box)->refs = 1;
    return *box;
}

static cnn_status add_bytes(lcnn_parcel *parcel, const void *bytes, size_t size) {
    if (parcel->capacity - parcel->length < size) {
        size_t capacity = 2 * parcel->capacity + size;
        void *larger = cnn_realloc(parcel->bytes, capacity);
        if (!larger) return cnn_fail_memory(capacity);
        parcel->bytes = larger;
        parcel->capacity = capacity;
    }
    memcpy(parcel->bytes + parcel->length, bytes, size);
    parcel->length += size;
    return CNN_OK;
}

static cnn_status add_tensor(lcnn_parcel *parcel, cnn_tensor *tensor) {
    size_t bytes = (parcel->tensor_count + 1) * sizeof *parcel->tensors;
    void *larger = cnn_realloc(parcel->tensors, bytes);
    if (!larger) return cnn_fail_memory(bytes);
    parcel->tensors = larger;
    parcel->tensors[parcel->tensor_count++] = cnn_tensor_retain(tensor);
    return CNN_OK;
}

static cnn_status add_global(lcnn_parcel *parcel, const char *name, lcnn_parcel *value, const char *refusal) {
    size_t bytes = (parcel->global_count + 1) * sizeof *parcel->globals;
    global *larger = cnn_realloc(parcel->globals, bytes);
    if (!larger) return cnn_fail_memory(bytes);
    parcel->globals = larger;
    global *g = &larger[parcel->global_count++];
    *g = (global){.name = cnn_strdup(name), .refusal = refusal ? cnn_strdup(refusal) : NULL};
    if (value) g->value = lcnn_parcel_retain(value);
    return g->name && (!refusal || g->refusal) ? CNN_OK : cnn_fail_memory(strlen(name));
}

/* ---- names of what every state has --------------------------------------------------------------------- */

/* Into the table at index names, by value: the functions, tables and other objects of the table on the top. Functions
 * written in Lua that are not the module's own were put there by a script; a worker does not have them. */
static void add_names(lua_State *L, int names, const char *prefix, bool deep) {
    luaL_checkstack(L, 8, "names");
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        int type = lua_type(L, -1);
        bool object = type == LUA_TFUNCTION || type == LUA_TUSERDATA || type == LUA_TLIGHTUSERDATA ||
                      (type == LUA_TTABLE && deep);
        if (!object || lua_type(L, -2) != LUA_TSTRING) continue;
        if (type == LUA_TFUNCTION && !lua_iscfunction(L, -1) && !lcnn_is_own(L, -1)) continue;
        lua_pushvalue(L, -1);
        bool known = lua_rawget(L, names) != LUA_TNIL;
        lua_pop(L, 1);
        if (known) continue;
        lua_pushvalue(L, -1);
        const char *name = lua_pushfstring(L, "%s.%s", prefix, lua_tostring(L, -3));
        lua_rawset(L, names);
        if (type == LUA_TTABLE) add_names(L, names, name, true);
    }
}

static const char *const libraries[] = {"string", "table",     "math",  "io",      "os",
                                        "utf8",   "coroutine", "debug", "package", "cnn"};
static const char *const base_functions[] = {
    "assert",  "collectgarbage", "dofile",       "error",    "getmetatable", "ipairs", "load",   "loadfile",
    "next",    "pairs",          "pcall",        "print",    "rawequal",     "rawget", "rawlen", "rawset",
    "require", "select",         "setmetatable", "tonumber", "tostring",     "type",   "warn",   "xpcall"};

/* Pushes a table of names by value. */
static void push_names(lua_State *L) {
    lua_newtable(L);
    int names = lua_gettop(L);
    lua_pushglobaltable(L);
    lua_pushvalue(L, -1);
    lua_pushliteral(L, "_G");
    lua_rawset(L, names);
    for (size_t i = 0; i < sizeof base_functions / sizeof *base_functions; i++) {
        lua_pushstring(L, base_functions[i]);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) == LUA_TFUNCTION && lua_iscfunction(L, -1)) {
            lua_insert(L, -2);
            lua_rawset(L, names);
        } else {
            lua_pop(L, 2);
        }
    }
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        if (lua_getfield(L, -1, libraries[i]) == LUA_TTABLE) {
            lua_pushvalue(L, -1);
            lua_pushstring(L, libraries[i]);
            lua_rawset(L, names);
            add_names(L, names, libraries[i], strcmp(libraries[i], "cnn") == 0);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, names);
}

/* Pushes what the name stands for in this state. */
static void push_named(lua_State *L, const char *name) {
    lua_pushglobaltable(L);
    for (const char *part = name; *part;) {
        size_t length = strcspn(part, ".");
        lua_pushlstring(L, part, length);
        if (lua_type(L, -2) != LUA_TTABLE) lcnn_fail(L, "there is no '%s' in worker threads", name);
        lua_gettable(L, -2);
        lua_remove(L, -2);
        part += length + (part[length] == '.');
    }
    if (lua_isnil(L, -1)) lcnn_fail(L, "there is no '%s' in worker threads", name);
}

/* ---- packing ------------------------------------------------------------------------------------------- */

/* The way from the value that is packed to one within: for messages. */
typedef struct step {
    const struct step *from;
    enum { UPVALUE, FIELD, KEY, METATABLE, ARGUMENT, GLOBAL } kind;
    int index;   /* on the stack: the function, the key, or the name */
    int upvalue; /* which */
    int depth;
} step;

typedef struct packer {
    lua_State *L;
    lcnn_parcel *parcel;
    const char *who;
    int names, seen; /* tables on the stack; seen: numbers by value, and places of upvalues by id */
    int globals;     /* another: the names of globals that are wanted, in a list, and true by name */
    lua_Integer count;
} packer;

static const char *push_step(lua_State *L, const step *s) {
    luaL_checkstack(L, 6, "message");
    const char *before = s->from ? push_step(L, s->from) : "", *comma = s->from ? ", " : "";
    lua_Debug about;
    switch (s->kind) {
    case UPVALUE:
        lua_pushvalue(L, s->index);
        lua_getinfo(L, ">S", &about);
        return lua_pushfstring(L, "%s%supvalue '%s' (%s:%d)", before, comma,
                               lua_getupvalue(L, s->index, s->upvalue), about.short_src, about.linedefined);
    case FIELD:
        if (lua_type(L, s->index) == LUA_TSTRING)
            return lua_pushfstring(L, "%s%sfield '%s'", before, comma, lua_tostring(L, s->index));
        return lua_pushfstring(L, "%s%sfield [%s]", before, comma, luaL_tolstring(L, s->index, NULL));
    case KEY:
        return lua_pushfstring(L, "%s%sa key", before, comma);
    case METATABLE:
        return lua_pushfstring(L, "%s%sthe metatable", before, comma);
    case GLOBAL:
        return lua_pushfstring(L, "global '%s'", lua_tostring(L, s->index));
    default:
        return lua_pushfstring(L, "%s%sthe argument of its __carry", before, comma);
    }
}

static void refuse(packer *p, const step *s, const char *what) {
    const char *where = s ? push_step(p->L, s) : "the function";
    bool vowel = strchr("aeiou", *what) != NULL;
    lcnn_fail(p->L,
              "%s: %s is %s %s, which cannot go to worker threads; numbers, strings, tables, tensors and Lua "
              "functions can",
              p->who, where, vowel ? "an" : "a", what);
}

/* What messages call the value at index. */
static const char *push_kind(lua_State *L, int index) {
    if (lua_iscfunction(L, index)) return "C function";
    if (lua_type(L, index) == LUA_TTHREAD) return "coroutine";
    if (luaL_getmetafield(L, index, "__name") != LUA_TSTRING) return luaL_typename(L, index);
    const char *name = lua_tostring(L, -1);
    return strcmp(name, LUA_FILEHANDLE) == 0 ? "file" : name;
}

/* Whether the value at index is a table made by a library in C, which has its metatable in the registry. */
static bool is_of_c(lua_State *L, int index) {
    int top = lua_gettop(L);
    bool own = lua_getmetatable(L, index) && luaL_getmetafield(L, index, "__name") == LUA_TSTRING &&
               luaL_getmetatable(L, lua_tostring(L, -1)) == LUA_TTABLE && lua_rawequal(L, -1, -3);
    lua_settop(L, top);
    return own;
}

static void write_bytes(packer *p, const void *bytes, size_t size) {
    lcnn_check(p->L, add_bytes(p->parcel, bytes, size));
}

static void write_tag(packer *p, enum tag tag) {
    write_bytes(p, &(unsigned char){(unsigned char)tag}, 1);
}

static void write_integer(packer *p, lua_Integer value) {
    write_bytes(p, &value, sizeof value);
}

static void write_string(packer *p, int index) {
    size_t length;
    const char *text = lua_tolstring(p->L, index, &length);
    write_integer(p, (lua_Integer)length);
    write_bytes(p, text, length);
}

static void pack(packer *p, int index, const step *from);

/* One step deeper. The value is on the top. */
static void pack_within(packer *p, const step *from, int kind, int index, int upvalue) {
    step s = {.from = from, .index = index, .upvalue = upvalue, .depth = from ? from->depth + 1 : 1};
    s.kind = kind;
    if (s.depth > DEEPEST)
        lcnn_fail(p->L, "%s: what is to go to worker threads is nested more than %d deep", p->who, DEEPEST);
    pack(p, lua_gettop(p->L), &s);
}

static void pack_table(packer *p, int index, const step *from) {
    lua_State *L = p->L;
    write_tag(p, TABLE);
    write_integer(p, (lua_Integer)lua_rawlen(L, index));
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        int key = lua_gettop(L) - 1;
        lua_pushvalue(L, key);
        pack_within(p, from, KEY, key, 0);
        lua_pop(L, 1);
        pack_within(p, from, FIELD, key, 0);
    }
    write_tag(p, END);
    if (!lua_getmetatable(L, index)) lua_pushnil(L);
    pack_within(p, from, METATABLE, 0, 0);
    lua_pop(L, 1);
}

static int write_dump(lua_State *L, const void *bytes, size_t size, void *parcel) {
    (void)L;
    return add_bytes(parcel, bytes, size) != CNN_OK;
}

/* Whether code that lua_dump wrote has the string among its constants: there, one byte for its length goes before it. */
static bool has_string(const void *code, size_t size, const char *text, size_t length) {
    char wanted[128];
    if (length + 1 >= sizeof wanted) return false;
    wanted[0] = (char)((length + 1) | 0x80);
    memcpy(wanted + 1, text, length);
    return memmem(code, size, wanted, length + 1) != NULL;
}

/* Adds to those wanted the globals of the program's own whose names are in the code. */
static void want_globals(packer *p, const void *code, size_t size) {
    lua_State *L = p->L;
    luaL_checkstack(L, 8, "globals");
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        size_t length;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : NULL;
        if (!name || strlen(name) != length || !has_string(code, size, name, length)) continue;
        lua_pushvalue(L, -1);
        bool everywhere = lua_rawget(L, p->names) != LUA_TNIL;
        bool known = lua_getfield(L, p->globals, name) != LUA_TNIL;
        lua_pop(L, 2);
        if (everywhere || known) continue;
        lua_pushboolean(L, true);
        lua_setfield(L, p->globals, name);
        lua_pushstring(L, name);
        lua_rawseti(L, p->globals, (lua_Integer)lua_rawlen(L, p->globals) + 1);
    }
    lua_pop(L, 1);
}

static void pack_code(packer *p, int index) {
    lua_State *L = p->L;
    write_integer(p, 0);
    size_t start = p->parcel->length;
    lua_pushvalue(L, index);
    if (lua_dump(L, write_dump, p->parcel, 0) != 0) lcnn_error(L, CNN_ERROR_MEMORY);
    lua_pop(L, 1);
    lua_Integer size = (lua_Integer)(p->parcel->length - start);
    memcpy(p->parcel->bytes + start - sizeof size, &size, sizeof size);
    want_globals(p, p->parcel->bytes + start, (size_t)size);
}

static void pack_function(packer *p, int index, const step *from) {
    lua_State *L = p->L;
    lua_Integer number = p->count;
    write_tag(p, FUNCTION);
    pack_code(p, index);
    for (int i = 1; lua_getupvalue(L, index, i); i++) {
        void *id = lua_upvalueid(L, index, i);
        if (lua_rawgetp(L, p->seen, id) != LUA_TNIL) {
            write_tag(p, AGAIN);
            write_integer(p, lua_tointeger(L, -1));
            lua_pop(L, 2);
            continue;
        }
        lua_pop(L, 1);
        lua_pushinteger(L, number * MOST_UPVALUES + i);
        lua_rawsetp(L, p->seen, id);
        write_tag(p, TRUE);
        pack_within(p, from, UPVALUE, index, i);
        lua_pop(L, 1);
    }
    write_tag(p, END);
}

/* An object that says by __carry, on the top, how it is made anew; or nil, and what it is that cannot be. */
static void pack_object(packer *p, int index, const step *from) {
    lua_State *L = p->L;
    lua_pushvalue(L, index);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2) && lua_type(L, -1) == LUA_TSTRING) refuse(p, from, lua_tostring(L, -1));
    if (lua_type(L, -2) != LUA_TSTRING)
        lcnn_fail(L, "%s: the __carry of a %s must return a name and an argument", p->who,
                  push_kind(L, index));
    write_tag(p, OBJECT);
    write_string(p, -2);
    pack_within(p, from, ARGUMENT, 0, 0);
    lua_pop(L, 2);
}

static void pack_tensor(packer *p, cnn_tensor *tensor, const step *from) {
    if (!tensor) refuse(p, from, "closed tensor");
    if (!tensor->data) refuse(p, from, "symbolic tensor");
    write_tag(p, TENSOR);
    lcnn_check(p->L, add_tensor(p->parcel, tensor));
}

/* What has an identity: packed the first time, later its number. */
static void pack_identity(packer *p, int index, const step *from) {
    lua_State *L = p->L;
    lua_pushvalue(L, index);
    if (lua_rawget(L, p->names) != LUA_TNIL) {
        write_tag(p, NAME);
        write_string(p, -1);
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, index);
    if (lua_rawget(L, p->seen) != LUA_TNIL) {
        write_tag(p, AGAIN);
        write_integer(p, lua_tointeger(L, -1));
        lua_pop(L, 2);
        return;
    }
    lua_pop(L, 2);
    lua_pushvalue(L, index);
    lua_pushinteger(L, ++p->count);
    lua_rawset(L, p->seen);
    cnn_tensor **tensor = luaL_testudata(L, index, LCNN_TENSOR);
    if (tensor)
        pack_tensor(p, *tensor, from);
    else if (luaL_getmetafield(L, index, "__carry") != LUA_TNIL)
        pack_object(p, index, from);
    else if (lua_type(L, index) == LUA_TFUNCTION && !lua_iscfunction(L, index))
        pack_function(p, index, from);
    else if (lua_type(L, index) == LUA_TTABLE && !is_of_c(L, index))
        pack_table(p, index, from);
    else
        refuse(p, from, push_kind(L, index));
}

static void pack(packer *p, int index, const step *from) {
    lua_State *L = p->L;
    luaL_checkstack(L, 10, "values to carry");
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        write_tag(p, NIL);
        return;
    case LUA_TBOOLEAN:
        write_tag(p, lua_toboolean(L, index) ? TRUE : FALSE);
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            write_tag(p, INTEGER);
            write_integer(p, lua_tointeger(L, index));
        } else {
            write_tag(p, FLOAT);
            write_bytes(p, &(lua_Number){lua_tonumber(L, index)}, sizeof(lua_Number));
        }
        return;
    case LUA_TSTRING:
        write_tag(p, STRING);
        write_string(p, index);
        return;
    default:
        pack_identity(p, index, from);
    }
}

/* Packs the global called by the string at 1: (name, who, names, globals) -> parcel. */
static int pack_global(lua_State *L) {
    const step s = {.kind = GLOBAL, .index = 1, .depth = 1};
    packer p = {.L = L, .who = lua_tostring(L, 2), .names = 3, .globals = 4, .seen = 5};
    lua_newtable(L);
    p.parcel = push_parcel(L);
    lua_pushglobaltable(L);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    pack(&p, lua_gettop(L), &s);
    lua_settop(L, p.seen + 1);
    return 1;
}

/* Those that the functions packed so far want; while they are packed, more may be. */
static void pack_globals(packer *p) {
    lua_State *L = p->L;
    for (lua_Integer i = 1; lua_rawgeti(L, p->globals, i) != LUA_TNIL; i++) {
        const char *name = lua_tostring(L, -1);
        lua_pushcfunction(L, pack_global);
        lua_pushvalue(L, -2);
        lua_pushstring(L, p->who);
        lua_pushvalue(L, p->names);
        lua_pushvalue(L, p->globals);
        bool good = lua_pcall(L, 4, 1, 0) == LUA_OK;
        lcnn_parcel **box = good ? lua_touserdata(L, -1) : NULL;
        const char *refusal = good ? NULL : luaL_tolstring(L, -1, NULL);
        lcnn_check(L, add_global(p->parcel, name, box ? *box : NULL, refusal));
        lua_settop(L, p->globals);
    }
    lua_pop(L, 1);
}

lcnn_parcel *lcnn_parcel_pack(lua_State *L, int index, const char *who) {
    index = lua_absindex(L, index);
    luaL_checkstack(L, 10, who);
    lcnn_parcel *parcel = push_parcel(L);
    int top = lua_gettop(L);
    packer p = {.L = L, .parcel = parcel, .who = who, .names = top + 1, .seen = top + 2, .globals = top + 3};
    push_names(L);
    lua_newtable(L);
    lua_newtable(L);
    pack(&p, index, NULL);
    pack_globals(&p);
    lua_settop(L, top);
    return parcel;
}

/* ---- unpacking ----------------------------------------------------------------------------------------- */

typedef struct reader {
    lua_State *L;
    const lcnn_parcel *parcel;
    size_t at, tensors;
    int made; /* a table on the stack: values by number */
    lua_Integer count;
} reader;

static const void *read_bytes(reader *r, size_t size) {
    const void *bytes = r->parcel->bytes + r->at;
    r->at += size;
    return bytes;
}

static enum tag read_tag(reader *r) {
    return (enum tag)r->parcel->bytes[r->at++];
}

static lua_Integer read_integer(reader *r) {
    lua_Integer value;
    memcpy(&value, read_bytes(r, sizeof value), sizeof value);
    return value;
}

static const char *push_string(reader *r) {
    size_t length = (size_t)read_integer(r);
    return lua_pushlstring(r->L, read_bytes(r, length), length);
}

/* The value on the top has this number. */
static void keep(reader *r, lua_Integer number) {
    lua_pushvalue(r->L, -1);
    lua_rawseti(r->L, r->made, number);
}

static void unpack(reader *r, enum tag tag);

static void unpack_table(reader *r, lua_Integer number) {
    lua_State *L = r->L;
    lua_Integer size = read_integer(r);
    lua_createtable(L, size < INT32_MAX ? (int)size : INT32_MAX, 0);
    keep(r, number);
    for (enum tag tag; (tag = read_tag(r)) != END;) {
        unpack(r, tag);
        unpack(r, read_tag(r));
        lua_rawset(L, -3);
    }
    unpack(r, read_tag(r));
    lua_setmetatable(L, -2);
}

static void unpack_function(reader *r, lua_Integer number) {
    lua_State *L = r->L;
    size_t size = (size_t)read_integer(r);
    if (luaL_loadbufferx(L, read_bytes(r, size), size, "carried", "b") != LUA_OK) lua_error(L);
    keep(r, number);
    enum tag tag;
    for (int i = 1; (tag = read_tag(r)) != END; i++) {
        if (tag == AGAIN) {
            lua_Integer place = read_integer(r);
            lua_rawgeti(L, r->made, place / MOST_UPVALUES);
            lua_upvaluejoin(L, -2, i, -1, (int)(place % MOST_UPVALUES));
            lua_pop(L, 1);
        } else {
            unpack(r, read_tag(r));
            lua_setupvalue(L, -2, i);
        }
    }
}

static void unpack_object(reader *r, lua_Integer number) {
    lua_State *L = r->L;
    lua_pushliteral(L, "cnn.");
    push_string(r);
    lua_concat(L, 2);
    push_named(L, lua_tostring(L, -1));
    lua_remove(L, -2);
    unpack(r, read_tag(r));
    lua_call(L, 1, 1);
    keep(r, number);
}

/* The value whose tag was just read, on the top. */
static void unpack(reader *r, enum tag tag) {
    lua_State *L = r->L;
    luaL_checkstack(L, 10, "carried values");
    lua_Number number;
    switch (tag) {
    case NIL:
        lua_pushnil(L);
        return;
    case FALSE:
    case TRUE:
        lua_pushboolean(L, tag == TRUE);
        return;
    case INTEGER:
        lua_pushinteger(L, read_integer(r));
        return;
    case FLOAT:
        memcpy(&number, read_bytes(r, sizeof number), sizeof number);
        lua_pushnumber(L, number);
        return;
    case STRING:
        push_string(r);
        return;
    case NAME:
        push_named(L, push_string(r));
        lua_remove(L, -2);
        return;
    case AGAIN:
        if (lua_rawgeti(L, r->made, read_integer(r)) == LUA_TNIL)
            lcnn_fail(L, "an object in what goes to worker threads is an argument of its own making");
        return;
    case TABLE:
        unpack_table(r, ++r->count);
        return;
    case FUNCTION:
        unpack_function(r, ++r->count);
        return;
    case TENSOR:
        r->count++;
        lcnn_push_tensor(L, cnn_tensor_retain(r->parcel->tensors[r->tensors++]));
        keep(r, r->count);
        return;
    default:
        unpack_object(r, ++r->count);
    }
}

bool lcnn_parcel_push_refusal(lua_State *L, const lcnn_parcel *parcel, const char *name) {
    for (size_t i = 0; i < parcel->global_count; i++) {
        const global *g = &parcel->globals[i];
        if (g->value || strcmp(g->name, name) != 0) continue;
        lua_pushstring(L, g->refusal);
        return true;
    }
    return false;
}

void lcnn_parcel_unpack(lua_State *L, const lcnn_parcel *parcel) {
    luaL_checkstack(L, 4, "carried values");
    for (size_t i = 0; i < parcel->global_count; i++) {
        if (!parcel->globals[i].value) continue;
        lcnn_parcel_unpack(L, parcel->globals[i].value);
        lua_setglobal(L, parcel->globals[i].name);
    }
    lua_newtable(L);
    reader r = {.L = L, .parcel = parcel, .made = lua_gettop(L)};
    unpack(&r, read_tag(&r));
    lua_remove(L, r.made);
}
