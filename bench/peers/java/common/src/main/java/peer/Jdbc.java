package peer;

/** postgres://user[:password]@host:port/db to what pgjdbc takes. */
public final class Jdbc {
  private Jdbc() {}

  public static String url(String pg, String... more) {
    java.net.URI u = java.net.URI.create(pg);
    StringBuilder b = new StringBuilder("jdbc:postgresql://" + u.getHost() + ":" + (u.getPort() < 0 ? 5432 : u.getPort()) + u.getPath() + "?ApplicationName=peer");
    if (u.getUserInfo() != null) {
      String[] a = u.getUserInfo().split(":", 2);
      b.append("&user=").append(a[0]);
      if (a.length > 1) b.append("&password=").append(a[1]);
    }
    for (String m : more) b.append('&').append(m);
    return b.toString();
  }
}
